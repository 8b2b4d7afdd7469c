"""What responses with tools called and cited, and whether it is true to what the search has answered."""

from collections.abc import Sequence

from alignloop.records import EvaluatedResponse
from alignloop.retrieval.citations import Checked, check, search_answers
from alignloop.scoring.supported import cited_passages
from alignloop.world.support import supported


def answers_of(response: EvaluatedResponse) -> list[str]:
    """What tools have answered in a response."""
    return [turn.text for turn in response.turns or () if turn.by == "tool"]


def sources_report(responses: Sequence[EvaluatedResponse]) -> dict[str, float | None]:
    """Rates over responses that were drawn with tools.

    `called` is the share that called a tool, `cited` the share that cites; `made_up_citations` is the share
    of all citations whose passage was not shown to the response, `wrong_quotes` that of all quotations that
    are not in the passage cited. None where there is no citation, or no quotation. `supported` is the
    share of responses that state nothing but what is in passages that they cite: known of documented facts of
    the built-in environment, else None.
    """
    known = [each for each in responses if each.prompt.category == "documented" and each.prompt.key]
    found = [check(each.response, search_answers(each.turns)) for each in responses]
    return {
        "called": sum(bool(answers_of(each)) for each in responses) / len(responses),
        "cited": sum(bool(each.cited) for each in found) / len(found),
        "supported": _share(sum(map(is_supported, known)), len(known)),
        "made_up_citations": made_up_rate(found),
        "wrong_quotes": _share(
            sum(len(each.wrong_quotes) for each in found), sum(len(each.quotes) for each in found)
        ),
    }


def is_supported(response: EvaluatedResponse) -> bool:
    """Whether what a response to a documented question states is in the passages that it cites."""
    passages = cited_passages(response.response, search_answers(response.turns))
    return supported(response.prompt, response.response, passages)


def made_up_rate(found: Sequence[Checked]) -> float | None:
    """The share of citations whose passage was never shown; None without citations."""
    return _share(sum(len(each.made_up) for each in found), sum(len(each.cited) for each in found))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
