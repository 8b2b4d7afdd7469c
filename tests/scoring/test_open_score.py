"""A weighted sum is added up by hand; what its parts lack is said at once, before the first response."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from alignloop.core.models import load_policy
from alignloop.core.weighted_score import WeightedScores
from alignloop.params.score import ScoreParts, Scoring
from alignloop.records import Message, Prompt
from alignloop.scoring.drawn import ScoreError
from alignloop.scoring.open_score import open_score
from alignloop.training.encoding import prompt_rows

LIMITS = Scoring(timeout_s=60.0, max_concurrency=1, responses_per_request=1)
FORMAT = [{"id": "punctuation:no_comma"}, {"id": "startend:quotation"}]


def prompt(id: str, check: dict[str, Any] | None, text: str = "What is 13?") -> Prompt:
    return Prompt(id=id, messages=(Message(role="user", content=text),), user="u", source="s", check=check)


def scored(parts: dict[str, Any], prompts: list[Prompt], texts: list[str], policy: Path) -> WeightedScores:
    plan = TypeAdapter[Any](ScoreParts).validate_python(parts)
    _, tokenizer = load_policy(policy)
    rows, _ = prompt_rows(tokenizer, prompts, 90)
    where: dict[str, Any] = {"reward": policy, "tokenizer": tokenizer, "rows": rows, "max_new_tokens": 8}
    with open_score(plan, LIMITS, **where) as score:
        given = score([ids for _, ids in rows], [tokenizer.encode(text) for text in texts])
    assert isinstance(given, WeightedScores)
    return given


def test_a_sum_of_parts_is_as_by_hand(root: Path, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    (root / "scores" / "length.py").write_text(
        "def score(prompts, responses): return list(map(len, responses))"
    )
    parts = {
        "exact": {"kind": "final_number", "weight": 2.0},
        "format": {"kind": "instructions", "weight": 1.0},
        "length": {"kind": "function", "function": "scores.length:score", "weight": -0.5, "shift": 3.0},
    }
    check = {"answer": "13", "instructions": FORMAT}
    prompts = [prompt("p0", check), prompt("p1", check, "Is it 13?")]
    given = scored(parts, prompts, ['"13"', "1, 14"], tiny_policy)
    assert {name: part.tolist() for name, part in given.parts.items()} == {
        "exact": [1.0, 0.0],
        "format": [1.0, 0.0],
        "length": [4.0, 5.0],
    }
    # 2 · 1 + 1 · 1 − 0.5 · (4 − 3), and 0 + 0 − 0.5 · (5 − 3)
    assert given.total.tolist() == [2.5, -1.0]


def test_all_that_parts_lack_is_said_before_the_first_response(
    root: Path, tiny_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    parts = {
        "exact": {"kind": "final_number", "weight": 1.0},
        "format": {"kind": "instructions", "weight": 1.0},
        "own": {"kind": "function", "function": "scores.none:score", "weight": 1.0, "shift": 0.0},
        "other": {"kind": "checkpoint", "path": "./none", "weight": 1.0, "shift": 0.0},
    }
    prompts = [prompt("p0", {"instructions": [{"id": "no:rule"}]}), prompt("p1", None, "Is it?")]
    with pytest.raises(ScoreError) as caught:
        scored(parts, prompts, [], tiny_policy)
    exact, form, own, other = str(caught.value).splitlines()
    assert exact.startswith(
        "ppo.score.exact: prompts p0, p1: the record has no check.answer (2 of 2 prompts);"
    )
    assert form.startswith("ppo.score.format: prompts p0, p1: instruction 'no:rule' is not known; known are")
    assert own.startswith("ppo.score.own: scores.none cannot be imported")
    assert other.startswith("ppo.score.other: ./none: no such checkpoint folder")


def test_equal_conversations_with_other_checks_are_refused(root: Path, tiny_policy: Path) -> None:
    parts = {"exact": {"kind": "final_number", "weight": 1.0}}
    prompts = [prompt("p0", {"answer": "1"}), prompt("p1", {"answer": "2"})]
    with pytest.raises(ScoreError, match="prompts p0, p1: equal conversations with different `check`"):
        scored(parts, prompts, [], tiny_policy)
