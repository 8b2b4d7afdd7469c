"""A judge model says what is supported: asked once about each question, and never without a true citation."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from alignloop.inference import chat_endpoint
from alignloop.params.score import JudgeModel, Scoring
from alignloop.records import Message, Prompt
from alignloop.scoring.drawn import Drawn, ScoreError
from alignloop.scoring.support_judge import SupportJudge
from tests.chat_server import ChatServer, serving

SHOWN = "[7] The mill | mill | MIT\nIt was built in 1820."
LIMITS = Scoring(timeout_s=5.0, max_concurrency=4, responses_per_request=1)
PROMPT = Prompt(id="p", messages=(Message(role="user", content="When?"),), user="u", source="s")


def reply(body: dict[str, Any]) -> str:
    """What a judge that looks for the year says."""
    answer, sources = body["messages"][1]["content"].split("Sources that the answer cites:")
    return f'{{"supported": {str("1820" in answer and "1820" in sources).lower()}}}'


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    monkeypatch.setenv("ALIGNLOOP_SCORE_KEY", "secret")
    with serving(ChatServer(reply)) as server:
        yield server


def drawn(*texts: str) -> Drawn:
    count = len(texts)
    return Drawn([[1]] * count, [[2]] * count, [PROMPT] * count, list(texts), [[SHOWN]] * count)


def test_what_the_judge_says_is_the_score_and_equal_questions_are_asked_once(judge: ChatServer) -> None:
    with closing(SupportJudge("s", JudgeModel(url=judge.url, name="big"), LIMITS)) as part:
        texts = ("In 1820 [7].", "In 1900 [7].", "In 1820 [7].", "In 1820.", "In 1820 [8].")
        assert part(drawn(*texts)).tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]
        assert len(judge.asked) == 2
        assert set(judge.keys) == {"Bearer secret"}
        asked = "\n".join(turn["content"] for turn in judge.asked[0]["messages"])
        assert "The mill. It was built in 1820." in asked
        assert part(drawn("In 1820 [7].")).tolist() == [1.0]
        assert len(judge.asked) == 2


def test_no_verdict_is_asked_for_again_and_then_said(judge: ChatServer) -> None:
    judge.first = ["Perhaps.", '{"supported": "yes"}']
    with closing(SupportJudge("s", JudgeModel(url=judge.url, name="big"), LIMITS)) as part:
        assert part(drawn("In 1820 [7].")).tolist() == [1.0]
        assert len(judge.asked) == 3
        judge.reply = lambda body: "I refuse."
        with pytest.raises(ScoreError, match=r"gave no verdict, .*: no verdict in 'I refuse.'; .*s.judge"):
            part(drawn("In 1820, so [7]."))
