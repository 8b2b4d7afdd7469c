"""Which conversations the candidate responds in, so that people rate it without knowing that they do."""

import random
from hashlib import blake2b

from fastapi import Request

from alignloop.labeling.served_opinions import Compared
from alignloop.labeling.serving_schema import Conversation
from alignloop.serving.model_pool import ModelPool
from alignloop.serving.served_version import ServedVersion


def compared(request: Request, conversation: Conversation | None) -> Compared | None:
    """The candidate and the champion, if they are being compared and this conversation is for either."""
    pool: ModelPool = request.app.state.pool
    candidate = pool.candidate()
    if candidate is None or (conversation is not None and conversation.model != pool.standard):
        return None
    return Compared(candidate.name, pool.find(pool.standard).name)


def shown_name(request: Request, conversation: Conversation | None) -> str | None:
    """What stands for the version while versions are compared: the model's name. None: the version itself."""
    found = compared(request, conversation)
    return found.candidate.partition("/")[0] if found else None


def models_of(request: Request, conversation: Conversation, *, is_two: bool) -> tuple[str, ...]:
    """The model that responds, or the two models side by side, in random order.

    In the candidate's conversations two responses are one of the candidate and one of the champion.
    """
    pool: ModelPool = request.app.state.pool
    candidate = pool.candidate() if conversation.model == pool.standard else None
    share = request.app.state.serving.candidate_share
    if candidate is None or not is_candidates(conversation.id, candidate, share):
        return (conversation.model,) * (1 + is_two)
    if not is_two:
        return (candidate.name,)
    return tuple(random.sample((candidate.name, conversation.model), 2))


def is_candidates(conversation: str, candidate: ServedVersion, share: float) -> bool:
    """Whether the candidate responds in a conversation: the same at every turn, for this share of them."""
    digest = blake2b(f"{conversation} {candidate.hash}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64
