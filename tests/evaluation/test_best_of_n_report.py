"""Best of n as a row of the evaluation, and as demonstrations that SFT can learn from."""

import math
from pathlib import Path
from typing import Any

import pytest

from alignloop import params as parameters
from alignloop.__main__ import main
from alignloop.core.models import load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.sampler import OwnSampler
from alignloop.data import record_files
from alignloop.evaluation.best_of_n_report import best_of_n_rows
from alignloop.evaluation.responses import ModelResponses, TestSet, respond
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Message, Prompt
from alignloop.world.builder import make_world

PROJECT = Path(__file__).parents[2]


def params(**changes: Any) -> Params:
    values = parameters.load(PROJECT / "params.yaml").model_dump(by_alias=True)
    values["evaluate"] |= {"prompts": 24, "documents": 1, **changes}
    values["decoding"] |= {"max_new_tokens": 5}
    values["ingest"]["world"] |= {"facts": 8, "users": 20, "prompts": 40, "demonstrations": 4, "documents": 4}
    return parameters.parse(values, "params.yaml")


def responses(plan: Params, policy: Path, tests: TestSet) -> ModelResponses:
    return respond(
        plan.seed,
        plan.evaluate,
        plan.decoding,
        plan.tools,
        name="sft",
        path=policy,
        tests=tests,
        sampler=OwnSampler(),
    )


def rows_of(plan: Params, model: ModelResponses, judge: RewardModel) -> dict[str, Any]:
    return best_of_n_rows(
        plan.seed,
        plan.evaluate,
        plan.decoding,
        plan.tools,
        model=model,
        reward_model=judge,
        sampler=OwnSampler(),
    )


def prompt(number: int) -> Prompt:
    return Prompt(
        id=f"p{number}", messages=(Message(role="user", content=f"Is it {number}?"),), user="u", source="test"
    )


@pytest.fixture(scope="module")
def judge(tiny_policy: Path) -> RewardModel:
    return RewardModel.from_policy(load_policy(tiny_policy)[0], 3)


def test_the_rows_rise_from_one_response_to_the_whole_pool(tiny_policy: Path, judge: RewardModel) -> None:
    plan = params(best_of=[1, 2, 8])
    asked = TestSet(
        make_world(1, plan.ingest.world).prompts, [Document(id="d", text="The sea.", source="test")], judge
    )
    model = responses(plan, tiny_policy, asked)
    rows = rows_of(plan, model, judge)
    assert list(rows) == ["1", "2", "8"]
    scores = [row["score"] for row in rows.values()]
    assert scores[0] < scores[1] < scores[2]
    assert scores[0] == pytest.approx(
        sum(each.score for each in model.responses) / len(model.responses), abs=0.3
    ), "the best of one is that one"
    assert (rows["1"]["kl_if_all_differ_nats"], rows["1"]["kl_measured_nats"]) == (
        0,
        pytest.approx(0, abs=1e-12),
    )
    assert rows["8"]["kl_if_all_differ_nats"] == pytest.approx(math.log(8) - 7 / 8)
    assert 0 < rows["8"]["kl_measured_nats"] <= rows["8"]["kl_if_all_differ_nats"]
    assert all(
        row["gold"] is not None and 0 <= row["wins"]["low"] <= row["wins"]["rate"] <= row["wins"]["high"] <= 1
        for row in rows.values()
    )


def test_where_there_is_no_gold_wins_go_by_the_score(tiny_policy: Path, judge: RewardModel) -> None:
    plan = params(best_of=[8])
    asked = TestSet([prompt(n) for n in range(20)], [Document(id="d", text="The sea.", source="test")], judge)
    row = rows_of(plan, responses(plan, tiny_policy, asked), judge)["8"]
    assert row["gold"] is None
    assert row["wins"]["rate"] > 0.75  # the best of eight against one: 8/9 in expectation


@pytest.mark.parametrize(
    ("option", "value", "what"),
    [("--n", "0", "response"), ("--limit", "0", "prompt"), ("--limit", "-1", "prompt")],
)
def test_nothing_to_choose_from_is_refused(
    option: str, value: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["best-of", "--policy", "sft", "--reward", "judge", "--out", "best.jsonl", option, value]) == 2
    )
    assert f"{option} {value}: one {what} at least" in capsys.readouterr().err


def test_rejection_sampling_writes_demonstrations_that_sft_reads(
    tiny_policy: Path,
    judge: RewardModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    judge.save(tmp_path / "judge", load_policy(tiny_policy)[1])
    record_files.write(tmp_path / "prompts.jsonl", [prompt(n) for n in range(6)])
    command = [
        "best-of",
        "--policy",
        str(tiny_policy),
        "--reward",
        "judge",
        "--prompts",
        "prompts.jsonl",
        "--limit",
        "5",
        "--n",
        "4",
    ]
    assert main([*command, "--out", "best.jsonl"]) == 0
    made = record_files.read(tmp_path / "best.jsonl", Demonstration)
    assert [each.messages[:-1] for each in made] == [prompt(n).messages for n in range(5)]
    assert {each.labeler for each in made} == {"best-of-4"}
    said = capsys.readouterr().out
    assert "5 demonstrations in best.jsonl" in said
    assert "KL 0.64 nats per response if no two responses scored alike" in said  # log 4 − 3/4
    before = (tmp_path / "best.jsonl").read_bytes()
    main([*command, "--out", "best.jsonl"])
    assert (tmp_path / "best.jsonl").read_bytes() == before
