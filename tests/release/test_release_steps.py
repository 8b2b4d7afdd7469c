"""A candidate is refused by its gates, made champion by them, or waits for a person's decision."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from alignloop.__main__ import main
from alignloop.data.record_files import read, write
from alignloop.labeling import accounts, assignments, reviews
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.pipeline.overrides import override
from alignloop.records import EvaluatedResponse
from alignloop.release import champion
from alignloop.release.release_responses import RESPONSES, digest_of
from alignloop.tracking import registry
from tests.labeling.conftest import ASSIGNMENT_SETTINGS
from tests.stages.test_release import COMMAND, PLACES, lineage_of, rounds, write_model  # noqa: F401

NAME = "alignloop-policy"


@pytest.fixture
def candidate(rounds: Path) -> Path:  # noqa: F811
    """A project before its release."""
    models = {
        "cmd": "true",
        "outs": [f"models/{name}" for name in ("sft", "r1/policy", "r1/reward", "r2/policy", "r2/reward")],
    }
    stage: dict[str, Any] = {
        "cmd": f"python -m alignloop {COMMAND}",
        "deps": ["models", "metrics/rounds", "data/evaluation"],
    }
    stage |= {"params": ["release"], "metrics": [PLACES["metrics"]], "outs": [PLACES["out"]]}
    (rounds / "dvc.yaml").write_text(json.dumps({"stages": {"models": models, "release": stage}}))
    lineage_of(rounds)
    return rounds


def test_a_candidate_refused_by_its_gates_stays_registered_and_is_marked(
    candidate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override(
        candidate / "params.yaml",
        changes={"release.gates.min_win_rate": 0.9, "release.gates.max_length_drift": None},
    )
    assert main(COMMAND.split()) == 0
    output = capsys.readouterr().out
    assert "Gates FAILED: 8 of 9 asked rules are met; 1 not asked, against SFT" in output
    assert output.rstrip().endswith(
        "its gates refused it; it stays registered, marked gates=failed, and the champion stays"
    )
    version = registry.find(candidate, f"{NAME}@candidate")
    assert version.aliases == ("candidate",)
    assert version.tags["gates"] == "failed"
    assert version.tags["gate:min_win_rate"] == "0.5101, bound 0.9: NOT MET"
    assert version.tags["gate:max_kl_per_response_nats"] == "3.25, bound 5.0: met"
    assert version.tags["gate:max_length_drift"] == "0.0, bound None: not asked"
    assert version.tags["wins_gold"] == "1.000 [0.510, 1.000] on 4 prompts"
    assert version.description.split("\n\n")[1].startswith("**Gates FAILED**")
    run = version.tags["release_run"]
    assert (
        f"![The rounds side by side](get-artifact?run_uuid={run}&path=figures/release.png)"
        in version.description
    )
    example = r"^\*\*The candidate is better\*\*: 1\.00 .+\n\n> .+\n\n- candidate: .+\n- SFT: .+$"
    assert len(re.findall(example, version.description, re.MULTILINE)) == 1, "responses side by side"
    head = "\n| rule | value | limit | margin | verdict |\n|---|---:|---:|---:|---:|\n| win rate"
    assert head in version.description, "tables are not padded"
    assert not (candidate / "releases" / "audit.jsonl").exists()
    override(candidate / "params.yaml", changes={"release.gates.min_win_rate": 0.5})
    assert main(COMMAND.split()) == 0
    after = registry.find(candidate, f"{NAME}/1")
    assert (after.tags["gates"], after.aliases) == ("passed", ("candidate", "champion")), (
        "the same bytes with the newest verdict"
    )
    assert "**Gates PASSED**" in after.description


def test_a_release_waits_for_a_person_while_reviewers_vote_and_the_same_command_continues(
    candidate: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    override(candidate / "params.yaml", changes={"release.approval": "person", "people.review_prompts": 3})
    assert main(COMMAND.split()) == os.EX_TEMPFAIL
    errors = capsys.readouterr().err
    assert errors.startswith(
        f"release: {NAME}/1 @candidate met its gates and waits for a person: `python -m alignloop review`"
    )
    assert (
        "reviewers compare 3 pairs at http://127.0.0.1:4300/review. The same command continues then" in errors
    )
    assert "champion" not in registry.find(candidate, f"{NAME}/1").aliases
    store = LabelingDatabase(database_url(candidate))
    with store.reading() as session:
        plan = reviews.newest(session)
        assert plan
        assert (plan.candidate, plan.other, reviews.count_remaining(session, "labeler-ada")) == (
            f"{NAME}/1",
            "SFT",
            3,
        )
        verdict = json.loads((candidate / PLACES["metrics"]).read_text())["verdict"]
        assert plan.report == {"verdict": verdict, "responses": digest_of(candidate / RESPONSES)}
    assert registry.find(candidate, f"{NAME}/1").tags["responses"] == digest_of(candidate / RESPONSES)
    assert main(["review", "reject", "--name", "ada", "--reason", "it repeats itself"]) == 0
    assert reviews.claim_decided(store) == [f"{NAME}/1"], "the pages start the pipeline again"
    store.close()
    assert main(COMMAND.split()) == 0
    assert "@candidate: decided before: #1 " in capsys.readouterr().out
    assert champion.unlogged_changes(candidate, NAME) == []
    assert "champion" not in registry.find(candidate, f"{NAME}/1").aliases


@pytest.fixture
def unjudged(candidate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same on prompts of people, whose responses have no ground-truth score."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    file = candidate / "data" / "evaluation" / "r2" / "responses.jsonl"
    write(file, [each.model_copy(update={"gold": None}) for each in read(file, EvaluatedResponse)])
    changes = {"release.gates.min_win_rate": 0.1, "release.gates.max_behaviour_fall": None}
    override(candidate / "params.yaml", changes={**changes, "people.review_votes": 1})
    return candidate


def test_what_only_the_reward_model_has_judged_is_not_approved_automatically(
    unjudged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(COMMAND.split()) == 0
    output = capsys.readouterr().out
    assert "met its gates, but was not judged independently, so it is not approved automatically" in output
    version = registry.find(unjudged, f"{NAME}@candidate")
    assert (version.tags["gates"], version.aliases) == ("passed", ("candidate",))
    assert "**Not judged independently**: only the reward model that training followed" in version.description
    assert "Wins by the reward model that training followed: " in version.description
    assert "gate:max_over_optimisation" in version.tags
    assert version.tags["gate:max_over_optimisation"] == "None, bound None: not asked"


@pytest.mark.parametrize(("bound", "action"), [(1.0, "approve"), (0.2, "reject")])
def test_peoples_blind_votes_decide_where_they_are_the_judge(
    unjudged: Path, capsys: pytest.CaptureFixture[str], bound: float, action: str
) -> None:
    """Reviewers say that all responses are equally good; the reward model prefers all of the candidate's."""
    changes = {"evaluate.judge.by": "people", "release.gates.max_over_optimisation": bound}
    override(unjudged / "params.yaml", changes=changes)
    file = unjudged / "data" / "evaluation" / "r2" / "responses.jsonl"
    ahead = [
        each.model_copy(update={"score": 9.0 if each.model == "policy" else 0.0})
        for each in read(file, EvaluatedResponse)
    ]
    write(file, ahead)
    assert main(COMMAND.split()) == os.EX_TEMPFAIL
    assert "waits for people's blind votes: 0 of 4 are given" in capsys.readouterr().err
    store = LabelingDatabase(database_url(unjudged))
    accounts.invite(store, "labeler-ada", "reviewer", "test")
    while assignment := assignments.assign(store, "labeler-ada", "rank", "review", ASSIGNMENT_SETTINGS):
        assert assignments.submit(store, assignment, "labeler-ada", SubmissionContent(ranks=(1, 1)), "g")
    store.close()
    assert main(COMMAND.split()) == 0
    output = capsys.readouterr().out
    assert "decided by people's votes: #1 " in output
    assert "win rate 0.500" in output
    assert "over-optimisation 0.500" in output
    version = registry.find(unjudged, f"{NAME}/1")
    assert version.tags["decision"].startswith(f"{action} by gates: ")
    assert ("champion" in version.aliases) == (action == "approve")
    assert version.tags["wins_people"].startswith("0.500 ")
