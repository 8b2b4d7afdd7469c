"""Rankings, report and metrics of `label` say who ranked, and no agreement comes from another data set."""

import json
import re
from pathlib import Path
from typing import Any

from alignloop.data import record_files
from alignloop.records import Origin, Ranking, Samples
from alignloop.world.panel import screening_items
from tests.stages.judge_endpoint import Endpoint
from tests.stages.test_label import Stage, offered


def labelled(here: Path, samples: list[Samples], **changes: Any) -> tuple[dict[str, Any], str, list[Ranking]]:
    """The stage's metrics, its report and its rankings."""
    stage = Stage(here, labelers=4, **changes)
    made = stage.run(samples)
    assert [each.note for each in stage.told if each.note], "the console says who ranked"
    return json.loads((here / "label.json").read_text()), (here / "labels.md").read_text(), made


def test_a_panel_on_other_data_is_called_simulated_and_has_no_agreement_with_orders_of_other_data(
    here: Path,
) -> None:
    told, page, made = labelled(here, offered(40), kind="panel", panel_utility="form")
    assert {each.simulated_by for each in made} == {"form"}
    assert '"kind":"panel","simulated_by":"form"' in (here / "out" / "r1.jsonl").read_text()
    assert told["rankings_by"] == told["all_rankings_by"] == {"simulated (form)": 40}
    assert "agreement_gold" not in told
    assert "Rankings: 40, all simulated (form)." in page
    assert "**Simulated labelers ranked, not people**: by the rule `form`, a heuristic of form" in page
    assert "with known orders –, for none is known of these prompts" in page
    assert re.search(r"screened on items of the built-in environment, .* 9\d\.\d % of \d+ right", page)
    assert "That is another data set: it says nothing about these rankings." in page
    assert re.search(r"\| labeler-\d+ \| simulated \(form\) \| \d+ \| – \|", page)


def test_a_panel_in_its_own_environment_agrees_with_the_screening_items_of_it(here: Path) -> None:
    pairs = zip(offered(30), screening_items(7, 30), strict=True)
    own = [each.model_copy(update={"prompt": prompt}) for each, (prompt, _, _) in pairs]
    told, page, _ = labelled(here, own, kind="panel", panel_utility="gold")
    assert told["rankings_by"] == {"simulated (gold)": 30}
    assert 0.75 <= told["agreement_gold"] <= 1
    assert re.search(r"; with screening items \(simulated labelers\) 9\d\.\d % of", page)
    assert "another data set" not in page


def test_shares_of_kinds_and_rankings_from_before_are_all_named(here: Path, endpoint: Endpoint) -> None:
    source = Ranking(
        id="k0",
        prompt=offered(1)[0].prompt.model_copy(update={"source": "prefs.jsonl"}),
        responses=("a", "b"),
        ranks=(1, 2),
        labeler="trl",
        kind="person",
        policy="trl",
        round="imported",
        origin=Origin(licence="MIT", sha256="0" * 64, line=1),
    )
    record_files.write(here / "earlier" / "imported.jsonl", [source])
    model = {"url": f"http://127.0.0.1:{endpoint.server_port}/v1", "name": "j", "max_concurrency": 4}
    kinds = {"judge": 0.5, "panel": 0.5}
    told, page, made = labelled(here, offered(40), kind=kinds, panel_utility="form", model=model)
    simulated = sum(each.kind == "panel" for each in made)
    assert told["rankings_by"] == {"a judge model": 40 - simulated, "simulated (form)": simulated}
    assert told["all_rankings_by"] == told["rankings_by"] | {"imported from prefs.jsonl (trl)": 1}
    share = round(100 * simulated / 40)
    assert f"Rankings: 40, {share} % simulated (form), {100 - share} % a judge model." in page


def test_the_panel_of_the_built_in_environment_leaves_prompts_of_people_alone_and_says_so(here: Path) -> None:
    offers = offered(23)
    pairs = zip(offers[:20], screening_items(7, 20), strict=True)
    own = [each.model_copy(update={"prompt": prompt}) for each, (prompt, _, _) in pairs]
    stage = Stage(here, kind="panel", panel_utility="gold", labelers=4)
    assert len(stage.run([*own, *offers[20:]])) == 20
    last = stage.told[-1]
    assert last.note.endswith("; 3 prompts have no gold score, so the panel does not rank them")
    assert (last.step, last.total) == (20, 20)
    told = json.loads((here / "label.json").read_text())
    assert (told["rankings"], told["prompts_without_gold"]) == (20, 3)
    assert "agreement_gold" in told, "all that was ranked is its own"
