"""Demonstrations from rankings: where no source holds demonstrations, the best-ranked responses are some.

A response is taken if it alone is the best of a ranking, and no other ranking of the prompt puts it lower.
"""

from collections.abc import Iterator
from pathlib import Path

from alignloop.data import record_files
from alignloop.data.content_ids import content_id, hash64
from alignloop.records import Demonstration, Message, Ranking


def demonstrations_in(rankings: Path) -> Iterator[tuple[Ranking, Demonstration | None]]:
    """Each ranking of a set with its demonstration; None if its best response is unclear or came before."""
    beaten, taken = set[int](), set[int]()
    for ranking in record_files.stream(rankings, Ranking, allow_empty=True):
        responses = zip(ranking.responses, ranking.ranks, strict=True)
        beaten |= {_key(ranking, response) for response, rank in responses if rank > 1}
    for ranking in record_files.stream(rankings, Ranking, allow_empty=True):
        best = _best(ranking)
        key = None if best is None else _key(ranking, best)
        by_user = hash64(ranking.prompt.user, key)
        if best is None or key in beaten or by_user in taken:
            yield ranking, None
            continue
        taken.add(by_user)
        yield ranking, demonstration_of(ranking, best)


def demonstration_of(ranking: Ranking, response: str) -> Demonstration:
    """A response to a ranking's prompt as a demonstration by the ranking's labeler."""
    prompt = ranking.prompt
    messages = (*prompt.messages, Message(role="assistant", content=response))
    return Demonstration(
        id=content_id("chosen", prompt.user, *(message.content for message in messages)),
        messages=messages,
        user=prompt.user,
        labeler=ranking.labeler,
        category=prompt.category,
        time=ranking.time,
        source=prompt.source,
        origin=ranking.origin,
    )


def _best(ranking: Ranking) -> str | None:
    """The response that is ranked first; None if several different ones are, or if it is blank."""
    first = {response for response, rank in zip(ranking.responses, ranking.ranks, strict=True) if rank == 1}
    response = next(iter(first))
    return response if len(first) == 1 and response.strip() else None


def _key(ranking: Ranking, response: str) -> int:
    """A hash of the prompt, by any user, and the response."""
    return hash64(*(message.content for message in ranking.prompt.messages), response)
