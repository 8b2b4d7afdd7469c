"""Who ranks: a panel, people, a judge model, or shares of them; and the error where rankings are missing."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from alignloop import params as parameters
from alignloop.data import record_files
from alignloop.errors import Waiting
from alignloop.labeling import accounts, assignments, llm_judge
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.item_selection import AssignmentSettings
from alignloop.labeling.llm_judge import JudgeError
from alignloop.labeling.schema import Labeler
from alignloop.params import ParamsError
from alignloop.params.binding import bind
from alignloop.progress import Progress
from alignloop.records import Message, Prompt, Ranking, Samples
from alignloop.stages.label import NoLabelersLeft, NothingToRank, divide, label
from alignloop.world.panel import PanelError
from tests.stages.judge_endpoint import Endpoint

PROJECT = Path(__file__).parents[2]


def offered(count: int) -> list[Samples]:
    def prompt(number: int) -> Prompt:
        return Prompt(
            id=f"p{number}", messages=(Message(role="user", content="Hello?"),), user="u", source="s"
        )

    return [
        Samples(
            id=f"r1-p{n}",
            prompt=prompt(n),
            responses=("ab", "a", "abc", "xy"),
            policy="models/sft",
            round="r1",
            split="train",
        )
        for n in range(count)
    ]


class Stage:
    """The stage `label` in a folder of its own."""

    def __init__(self, root: Path, **changes: Any) -> None:
        values = parameters.load(PROJECT / "params.yaml").model_dump(by_alias=True)
        values["label"] |= changes
        self.params, self.root = parameters.parse(values, "params.yaml"), root
        self.told: list[Progress] = []
        (root / "earlier").mkdir(exist_ok=True)

    def run(self, samples: list[Samples]) -> list[Ranking]:
        record_files.write(self.root / "samples.jsonl", samples)
        places = ("samples.jsonl", "earlier", "out", "label.json", "labels.md")
        self.told = list(bind(label, self.params)("r1", *(self.root / place for place in places)))
        return record_files.read(self.root / "out" / "r1.jsonl", Ranking)


def test_a_judge_model_is_asked_blind_and_shuffled_and_never_twice_for_the_same(
    here: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(llm_judge.KEY_VARIABLE, "a-secret")
    endpoint.first = [503, "I like all of them.", '{"ranks": {"A": 1}}']
    stage = Stage(
        here,
        kind="judge",
        model={
            "url": f"http://127.0.0.1:{endpoint.server_port}/v1/",
            "name": "org/judge 1",
            "max_concurrency": 1,
        },
    )
    made = stage.run(offered(3))
    assert {(each.labeler, each.kind, each.ranks) for each in made} == {
        ("judge-org-judge-1", "judge", (2, 3, 1, 2))
    }
    assert [each.prompt.id for each in made] == ["p0", "p1", "p2"]
    assert len(endpoint.asked) == 6
    assert set(endpoint.keys) == {"Bearer a-secret"}
    assert not any("models/sft" in json.dumps(body) for body in endpoint.asked)
    assert len({body["messages"][1]["content"] for body in endpoint.asked}) > 1  # each in an order of its own
    bytes_before = (here / "out" / "r1.jsonl").read_bytes()
    stage.run(offered(3))
    assert len(endpoint.asked) == 6
    assert (here / "out" / "r1.jsonl").read_bytes() == bytes_before
    assert not any("a-secret" in file.read_text() for file in here.rglob("*.json*"))


def test_a_judge_reads_equal_responses_once_and_is_not_asked_where_all_are_equal(
    here: Path, endpoint: Endpoint
) -> None:
    url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    stage = Stage(here, kind="judge", model={"url": url, "name": "j", "max_concurrency": 1})
    drawn = [
        each.model_copy(update={"responses": texts})
        for each, texts in zip(offered(3), [("a", "a", "a"), ("ab", "a", "ab", "abc"), ("", "")], strict=True)
    ]
    [made] = stage.run(drawn)
    assert (made.responses, made.ranks) == (("ab", "a", "ab", "abc"), (2, 3, 2, 1))
    [body] = endpoint.asked
    assert "[answer C]" in body["messages"][1]["content"]
    assert "[answer D]" not in body["messages"][1]["content"]
    told = json.loads((here / "label.json").read_text())
    assert (told["rankings"], told["prompts_without_choice"]) == (1, 2)
    assert "2 prompts have equal responses only" in (here / "labels.md").read_text()
    assert (stage.told[-1].step, stage.told[-1].total) == (1, 1)


@pytest.mark.parametrize("kind", ["judge", "people", {"people": 0.5, "judge": 0.5}])
def test_a_round_with_nothing_to_rank_says_so_and_asks_nobody(here: Path, kind: Any) -> None:
    drawn = [each.model_copy(update={"responses": ("same", "same")}) for each in offered(8)]
    with pytest.raises(NothingToRank, match=r"responses to each of its 8 prompts are equal.*temperature"):
        Stage(here, kind=kind).run(drawn)
    assert not (here / "people").exists()


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ([401], "returned status 401"),
        ([500] * 4, "returned status 500, 4 times"),
        (["no"] * 4, "gave no ranking of r1-p0"),
    ],
)
def test_a_judge_that_does_not_judge_is_named(
    here: Path, endpoint: Endpoint, first: list[int | str], message: str
) -> None:
    endpoint.first = first
    model = {"url": f"http://127.0.0.1:{endpoint.server_port}/v1", "name": "j", "max_concurrency": 1}
    with pytest.raises(JudgeError, match=message):
        Stage(here, kind="judge", model=model).run(offered(1))
    assert not (here / "out").exists()


def test_kinds_share_the_samples_and_each_ranking_says_who_made_it(here: Path, endpoint: Endpoint) -> None:
    model = {"url": f"http://127.0.0.1:{endpoint.server_port}/v1", "name": "j", "max_concurrency": 4}
    stage = Stage(here, kind={"judge": 0.5, "panel": 0.5}, panel_utility="form", model=model)
    made = stage.run(offered(40))
    kinds = {each.prompt.id: each.kind for each in made}
    assert len(kinds) == 40
    assert 10 <= sum(kind == "judge" for kind in kinds.values()) <= 30
    fewer = divide(stage.params.seed, stage.params.label, "r1", offered(20))
    assert {each.prompt.id: kind for kind, part in fewer.items() for each in part} == {
        f"p{n}": kinds[f"p{n}"] for n in range(20)
    }


def test_known_labelers_rank_a_share_of_the_validation_prompts_where_that_is_asked_for(here: Path) -> None:
    def rankers(share: float) -> tuple[set[str], list[str]]:
        samples = [
            each.model_copy(update={"split": "train" if n < 40 else "valid"})
            for n, each in enumerate(offered(80))
        ]
        made = Stage(
            here,
            kind="panel",
            panel_utility="form",
            labelers=8,
            held_out_share=0.5,
            valid_share_by_training_labelers=share,
        ).run(samples)
        return {each.labeler for each in made if each.split == "train"}, [
            each.labeler for each in made if each.split == "valid"
        ]

    known, valid = rankers(0.0)
    assert not known & set(valid)
    known, valid = rankers(0.5)
    assert 10 <= sum(labeler in known for labeler in valid) <= 30
    known, valid = rankers(1.0)
    assert set(valid) <= known


def test_people_are_waited_for_and_what_they_ranked_is_written_with_the_same_bytes_every_time(
    here: Path,
) -> None:
    stage = Stage(here, kind="people")
    with pytest.raises(
        Waiting,
        match=r"round r1 waits for people: 2 of 2 rankings are missing; they rank at "
        r"http://127\.0\.0\.1:4300 .*This is about 1 minute of labelers' time \(25 s a ranking, estimated "
        r".*The same command continues",
    ):
        stage.run(offered(2))
    assert not (here / "out").exists()
    store = LabelingDatabase(database_url(here))
    accounts.invite(store, "labeler-ada", "labeler", "test")
    with store.writing() as session:
        session.get_one(Labeler, "labeler-ada").qualified = True
    for missing in (1, 0):
        lent = assignments.assign(store, "labeler-ada", "rank", "work", AssignmentSettings(10, 0, 0))
        assert lent
        assignments.submit(store, lent, "labeler-ada", SubmissionContent(ranks=(1, 2, 3, 3)), "g")
        if missing:
            with pytest.raises(Waiting, match="1 of 2 rankings are missing"):
                stage.run(offered(2))
    made = stage.run(offered(2))
    assert {(each.labeler, each.kind, each.ranks) for each in made} == {
        ("labeler-ada", "person", (1, 2, 3, 3))
    }
    before = (here / "out" / "r1.jsonl").read_bytes()
    stage.run(offered(2))
    assert (here / "out" / "r1.jsonl").read_bytes() == before
    assert json.loads((here / "label.json").read_text())["labelers"] == 1
    store.close()


def test_shares_that_are_no_whole_are_refused(here: Path) -> None:
    with pytest.raises(ParamsError, match=r"label: kind: the shares .* add up to 0.9; make it 1"):
        Stage(here, kind={"people": 0.5, "judge": 0.4})


def test_labelers_are_measured_and_left_out_below_the_bound_and_the_counts_tell(here: Path) -> None:
    stage = Stage(
        here, kind="panel", panel_utility="form", overlap=3, labelers=8, held_out_share=0.0, noise=0.2
    )
    made = stage.run(offered(40))
    told = json.loads((here / "label.json").read_text())
    assert len(made) == told["rankings"] == 120
    assert [(each.step, each.total) for each in stage.told] == [(40, 40)], (
        "prompts are counted, however many rank each"
    )
    assert len({(each.prompt.id, each.labeler) for each in made}) == 120
    assert (told["excluded_labelers"], told["excluded_rankings"]) == (0, 0)
    assert "agreement_gold" not in told, "these prompts have no gold"
    assert -1 < told["alpha"] <= 1
    report = (here / "labels.md").read_text()
    assert "no labeler is left out" in report
    bound = told["agreement_others"]
    stage = Stage(
        here,
        kind="panel",
        panel_utility="form",
        overlap=3,
        labelers=8,
        held_out_share=0.0,
        noise=0.2,
        exclude_below=bound,
    )
    kept = stage.run(offered(40))
    after = json.loads((here / "label.json").read_text())
    out = {each.labeler for each in made} - {each.labeler for each in kept}
    assert after["excluded_labelers"] == len(out) > 0
    assert after["pairs"] == 6 * len(kept)
    assert (
        after["ties"] == sum(a == b for each in kept for a, b in combinations(each.ranks, 2)) / after["pairs"]
    )
    assert after["excluded_rankings"] == sum(each.labeler in out for each in made) == len(made) - len(kept)
    assert [each for each in made if each.labeler not in out] == kept
    page = (here / "labels.md").read_text()
    assert all(re.search(rf"\| {name} .*left out", page) for name in out)
    with pytest.raises(
        PanelError, match=r"label\.overlap: must be at most the number of labelers, \d, got 9; lower it"
    ):
        Stage(
            here, kind="panel", panel_utility="form", overlap=9, labelers=8, held_out_share=0.0, noise=0.2
        ).run(offered(1))
    with pytest.raises(
        NoLabelersLeft, match=r"labelers agree less than label.exclude_below \(1.0\); lower it"
    ):
        Stage(
            here,
            kind="panel",
            panel_utility="form",
            overlap=3,
            labelers=8,
            held_out_share=0.0,
            noise=0.9,
            exclude_below=1.0,
        ).run(offered(40))
