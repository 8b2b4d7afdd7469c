"""What responses with a search called, cited and are supported by."""

from alignloop.evaluation.sources import sources_report
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.tool_turns import RolloutTurn, Turns

PASSAGE = "[7] The zandor lamp | zandor-lamp | MIT\nThe zandor lamp is red."
KEY = {"behaviour": "documented", "subject": "zandor lamp", "attribute": "colour", "value": "red"}


def response(
    number: int, text: str, tool: str | None = "search", documented: bool = True
) -> EvaluatedResponse:
    asked = Message(role="user", content="What colour is the zandor lamp?")
    prompt = Prompt(
        id=f"p{number}",
        messages=(asked,),
        user="u",
        source="world",
        category="documented" if documented else "fact",
        key=KEY if documented else None,
    )
    turns: Turns = (RolloutTurn(by="policy", text=text, tokens=3),)
    if tool:
        call = RolloutTurn(by="policy", text="…", tokens=3)
        turns = (call, RolloutTurn(by="tool", text=PASSAGE, tokens=3, tool=tool), *turns)
    return EvaluatedResponse(
        id=f"r{number}",
        prompt=prompt,
        model="policy",
        response=text,
        tokens=3,
        ended=True,
        score=0.0,
        gold=None,
        passed=None,
        made_up=None,
        over_refused=None,
        turns=turns,
    )


def test_shares_of_what_was_called_cited_and_supported() -> None:
    found = [
        response(1, "The zandor lamp is red [7]."),
        response(2, "The zandor lamp is blue [7]."),
        response(3, "The zandor lamp is red [7].", tool="notes"),  # no search has shown it
        response(4, "The zandor lamp is red.", tool=None),
        response(5, "It is so [7].", documented=False),  # nobody knows whether it is supported
    ]
    assert sources_report(found) == {
        "called": 4 / 5,
        "cited": 4 / 5,
        "supported": 1 / 4,
        "made_up_citations": 1 / 4,
        "wrong_quotes": None,
    }
    assert sources_report(found[4:])["supported"] is None
