"""A judge model compares two models' responses in both orders; how it is counted, bounded and believed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignloop.inference import chat_endpoint
from alignloop.labeling.independent_judge import independent_wins
from alignloop.labeling.llm_judge import JudgeError
from alignloop.labeling.pairwise_judge import JudgedPair, report
from alignloop.params import load
from alignloop.params.evaluate import IndependentJudge
from alignloop.records import EvaluatedResponse, Message, Prompt
from tests.chat_server import serving
from tests.stages.judge_endpoint import Endpoint

FIRST, SECOND = '{"ranks": {"A": 1, "B": 2}}', '{"ranks": {"A": 2, "B": 1}}'


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Endpoint]:
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    monkeypatch.chdir(tmp_path)
    server = Endpoint()
    with serving(server):
        yield server


def plan(endpoint: Endpoint, **changes: Any) -> IndependentJudge:
    values = load(Path(__file__).parents[2] / "params.yaml").evaluate.judge.model_dump()
    url = f"http://127.0.0.1:{endpoint.server_port}/v1"
    return IndependentJudge.model_validate(
        values | {"by": "model", "url": url, "max_concurrency": 1} | changes
    )


def said(model: str, texts: list[str], gold: float | None = None) -> list[EvaluatedResponse]:
    about: dict[str, Any] = dict.fromkeys(("passed", "made_up", "over_refused"))
    return [
        EvaluatedResponse(
            id=f"{model}-p{n}",
            prompt=Prompt(id=f"p{n}", messages=(Message(role="user", content="Why?"),), user="u", source="s"),
            model=model,
            response=text,
            tokens=3,
            ended=True,
            score=float(model == "policy"),
            gold=gold,
            **about,
        )
        for n, text in enumerate(texts)
    ]


MINE, THEIRS = (
    said("policy", ["longer", "same", "a", "word"]),
    said("sft", ["long", "same", "longer", "four"]),
)


def test_each_pair_is_asked_in_both_orders_and_what_was_said_is_kept(endpoint: Endpoint):
    """The endpoint prefers longer responses: one win, one loss, a tie, and a pair nobody is asked about."""
    found = independent_wins(1, plan(endpoint), Path("reward"), MINE, THEIRS)
    wins = found.wins["judge_model"]
    assert (wins["rate"], wins["n"], wins["ties"]) == (0.5, 4, 0.5)
    assert (wins["asked"], wins["self_consistency"], wins["position_bias"]) == (3, 1.0, 0.0)
    assert wins["reward_model_rate"] == 1.0, "the reward model prefers the policy everywhere"
    assert found.calls == len(endpoint.asked) == 6
    asked = [body["messages"][1]["content"].partition("Answers:\n\n")[2] for body in endpoint.asked[:2]]
    assert asked == ["[answer A]\nlonger\n\n[answer B]\nlong", "[answer A]\nlong\n\n[answer B]\nlonger"]
    assert [each.outcomes for each in found.pairs] == [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0), (0.5, 0.5)]
    assert [len(each.replies) for each in found.pairs] == [2, 0, 2, 2]
    assert found.pairs[0].replies[0].startswith("Here it is:")
    again = independent_wins(1, plan(endpoint), Path("reward"), MINE, THEIRS)
    assert (again.wins, again.pairs, again.calls) == (found.wins, found.pairs, 0), "all is cached"
    few = independent_wins(1, plan(endpoint, prompts=2), Path("reward"), MINE, THEIRS)
    assert few.wins["judge_model"]["n"] == 2


def test_a_judge_that_prefers_what_it_reads_first_earns_nobody_a_win(endpoint: Endpoint):
    endpoint.first = [FIRST] * 6
    wins = independent_wins(1, plan(endpoint), Path("reward"), MINE, THEIRS).wins["judge_model"]
    assert (wins["rate"], wins["ties"]) == (0.5, 1.0)
    assert (wins["self_consistency"], wins["position_bias"]) == (0.0, 1.0)
    pair = JudgedPair(
        id="x", prompt="p", models=("a", "b"), responses=("1", "2"), outcomes=(0.0, 1.0), replies=("", "")
    )
    assert report([pair])["position_bias"] == -1.0


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ([503] * 4, r"returned status 503, 4 times: .*; start it or correct evaluate\.judge, and run again"),
        ([429] * 4, r"too many requests \(status 429\): lower evaluate\.judge\.max_concurrency, 4 times"),
        (
            ["I'd rather not"] * 4,
            r"gave no ranking of p0-\w+, 4 times: no JSON in \"I'd rather not\"; start it",
        ),
        ([401], r"returned status 401: .*check evaluate\.judge and ALIGNLOOP_JUDGE_KEY"),
    ],
)
def test_a_judge_that_fails_is_one_message_and_nothing_is_lost(
    endpoint: Endpoint, first: list[int | str], message: str
):
    endpoint.first = [FIRST, *first]
    with pytest.raises(JudgeError, match=message):
        independent_wins(1, plan(endpoint), Path("reward"), MINE[:1], THEIRS[:1])
    endpoint.first = [SECOND]
    found = independent_wins(1, plan(endpoint), Path("reward"), MINE[:1], THEIRS[:1])
    assert (found.calls, found.pairs[0].outcomes) == (1, (1.0, 1.0)), "the first verdict was cached"


def test_requests_are_bounded_retries_included(endpoint: Endpoint):
    bounded = plan(endpoint, prompts=1, max_calls=2)
    endpoint.first = [503]
    with pytest.raises(JudgeError, match=r"2 requests were sent, all that evaluate\.judge\.max_calls allows"):
        independent_wins(1, bounded, Path("reward"), MINE[:1], THEIRS[:1])
    assert len(endpoint.asked) == 2
    assert independent_wins(1, bounded, Path("reward"), MINE[:1], THEIRS[:1]).calls == 1
    with pytest.raises(ValueError, match="max_calls: 3 do not suffice for 2 prompts in both orders"):
        plan(endpoint, prompts=2, max_calls=3)


def test_nobody_is_asked_where_there_is_gold_or_no_judge(endpoint: Endpoint):
    gold = said("policy", ["a"], 1.0), said("sft", ["b"], 0.0)
    assert not independent_wins(1, plan(endpoint), Path("reward"), *gold).wins
    for by in ("none", "people"):
        assert not independent_wins(1, plan(endpoint, by=by), Path("reward"), MINE, THEIRS).wins
    assert not endpoint.asked
