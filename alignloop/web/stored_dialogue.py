"""What a request of the API with `store: true` keeps: messages and responses, for feedback on them."""

from collections.abc import Iterable, Mapping, Sequence

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from alignloop.labeling import stored_responses
from alignloop.labeling.conversations import ConversationFull
from alignloop.labeling.stored_responses import StoredResponse
from alignloop.records import Message, check_turns
from alignloop.serving.generation import Piece, of_last_turn
from alignloop.web.api_errors import ApiError
from alignloop.web.auth import get_database
from alignloop.web.chat_turns import STATES


class StoredDialogue:
    """Collects the pieces of the responses, and saves them when all have ended."""

    def __init__(self, request: Request, messages: Sequence[Mapping[str, str]], asked: str) -> None:
        """`asked` is the name of the model that the request has.

        Raises ApiError for what cannot be stored: before anything is generated.
        """
        if request.state.api_key is None:
            raise _refusal("store needs an API key: without one nobody could give feedback on the response.")
        try:
            turns = tuple(Message.model_validate(each) for each in messages)
            check_turns(turns, last="user")
        except (ValidationError, ValueError) as error:
            reason = "a message is empty" if isinstance(error, ValidationError) else str(error)
            raise _refusal(f"This dialogue cannot be stored: {reason}. Send it without `store`.") from None
        self._asked = asked
        self._owner = stored_responses.owner_of(request.state.api_key)
        self._database = get_database(request)
        self._messages: Sequence[Mapping[str, str]] | None = None
        self._choices: dict[int, list[Piece]] = {}

    def keep(self, messages: Sequence[Mapping[str, str]]) -> None:
        """Keep these messages: what the rules left of those that were sent."""
        self._messages = messages

    def add(self, pieces: Iterable[Piece]) -> None:
        """Collect pieces of any choice."""
        for piece in pieces:
            self._choices.setdefault(piece.choice, []).append(piece)

    async def save(self, id: str, model: str) -> None:
        """Save the responses under the id of the reply. They are on disk then.

        A prompt that the rules did not let through is not stored: nothing says how it would be redacted.
        """
        if self._messages is None:
            return
        responses = [
            StoredResponse(
                "".join(piece.text for piece in of_last_turn(pieces)),
                STATES.get(pieces[-1].finish or "", "complete"),
                pieces[-1].turns,
            )
            for _, pieces in sorted(self._choices.items())
        ]
        what = self._database, self._owner, id, self._messages, responses
        try:
            await run_in_threadpool(stored_responses.store, *what, model=model, asked=self._asked)
        except ConversationFull as error:
            raise ApiError(409, str(error), param="store", code="store_full") from None


def _refusal(words: str) -> ApiError:
    return ApiError(400, words, param="store", code="invalid_value")
