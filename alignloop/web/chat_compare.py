"""Two responses to one prompt side by side, on a share of the turns of people who agreed to their use."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from threading import Lock
from typing import Any

from fastapi import Request

from alignloop.labeling import feedback
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.serving_schema import WHOLE, MessageState
from alignloop.web.chat_consent import consent_of
from alignloop.web.chat_turns import Save, Turn, Written


def is_due(request: Request, owner: str, sampling: Mapping[str, Any]) -> bool:
    """Whether this turn is one with two responses: not where both would be the same."""
    if sampling.get("seed") is not None or not sampling.get("temperature"):
        return False
    share = request.app.state.serving.compare_share
    return random.random() < share and consent_of(request, owner).is_given


class Pair:
    """Saves the two responses of a turn, and shows them side by side once both are saved whole."""

    def __init__(self, database: LabelingDatabase, owner: str, conversation: str) -> None:
        self._place = (database, owner, conversation)
        self._saved: dict[int, tuple[int, MessageState]] = {}
        self._lock = Lock()

    def saver(self, side: int, save: Save) -> Save:
        """What saves the left (0) or the right (1) response."""

        def save_side(written: Written) -> int:
            id = save(written)
            with self._lock:
                self._saved[side] = (id, written.state)
                if len(self._saved) == 2 and all(each in WHOLE for _, each in self._saved.values()):
                    left, right = (self._saved[each][0] for each in (0, 1))
                    feedback.begin_comparison(*self._place, left, right)
            return id

        return save_side


async def events_of(turns: Sequence[Turn]) -> AsyncIterator[bytes]:
    """What the page is sent of two responses; each event says of which one it is, in `side`."""
    events: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def forward(side: int, turn: Turn) -> None:
        try:
            async for event in turn.sent():
                events.put_nowait(b'data: {"side":%d,' % side + event.removeprefix(b"data: {"))
        finally:
            events.put_nowait(None)

    tasks = [asyncio.create_task(forward(side, turn)) for side, turn in enumerate(turns)]
    try:
        is_open = len(tasks)
        while is_open:
            event = await events.get()
            if event is None:
                is_open -= 1
            else:
                yield event
    finally:
        for task in tasks:
            task.cancel()
