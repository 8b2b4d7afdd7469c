"""The options of a run are written to the files that DVC reads."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.params import ParamsError
from alignloop.pipeline.overrides import override
from tasks.plan import _asked_of_people, _change, next_round


def test_a_new_round_starts_from_the_last_one_once_that_is_evaluated(project: Path) -> None:
    assert next_round(project) == {}, "the last round has not been run: it is the new one"
    (project / "metrics" / "rounds" / "r3").mkdir(parents=True)
    (project / "metrics" / "rounds" / "r3" / "evaluate.json").touch()
    follows = {
        "policy": "models/r3/policy",
        "start": "models/r3/policy",
        "reward_start": "models/r3/reward",
        "by": "ppo",
        "rankings": "data/rankings/r3",
    }
    assert next_round(project) == {"rounds.r4": follows}
    override(project / "params.yaml", changes={"rounds.last": follows})
    (project / "metrics" / "rounds" / "last").mkdir()
    (project / "metrics" / "rounds" / "last" / "evaluate.json").touch()
    with pytest.raises(ParamsError, match="the name of the last round, last, ends in no number"):
        next_round(project)


def test_after_an_adopted_round_the_next_one_trains_and_nobody_is_announced_for_it(project: Path) -> None:
    plan = {
        "policy": "models/r2/policy",
        "start": "elsewhere/theirs",
        "reward_start": "models/r2/reward",
        "rankings": "data/rankings/r2",
        "by": "adopted",
    }
    changes = {"label.kind": "people", "rounds.r2.by": "dpo", "rounds.r3": plan}
    override(project / "params.yaml", changes=changes)
    (project / "metrics" / "rounds" / "r3").mkdir(parents=True)
    (project / "metrics" / "rounds" / "r3" / "evaluate.json").touch()
    new = next_round(project)["rounds.r4"]
    assert (new["by"], new["start"]) == ("dpo", "models/r3/policy")
    told = _asked_of_people(project, ["r2", "r3"], {"label@r2", "sample@r2", "label@r3", "sample@r3"})
    assert len(told) == 1
    assert "r2" in told[0]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (0.3, 0.15, "k: 0.3 → 0.15"),
        (None, "models/mine", 'k: null → "models/mine"'),
        (True, None, "k: true → null"),
        ({"policy": "models/sft"}, None, "k: removed"),
        ("Größe", ["a", 1], 'k: "Größe" → ["a", 1]'),
    ],
)
def test_a_change_is_said_in_the_words_of_params_yaml(before: Any, after: Any, line: str) -> None:
    assert _change("k", before, after) == line
