"""Conversations whose turns may have weights: a turn of weight 0 is context and must not be learned.

https://platform.openai.com/docs/guides/supervised-fine-tuning
"""

from collections.abc import Sequence

from pydantic import BaseModel

from alignloop.data.formats.importer import Imported, Refused, with_changes
from alignloop.data.formats.record_builders import Turns, demonstration, prompt
from alignloop.data.formats.written_values import WrittenFlag, WrittenNumber

CUT = "turns of weight 0 at the end left out"
EARLIER = "an earlier turn of weight 0 kept as context: learned only with sft.assistant_turns: all"


class Weighted(BaseModel):
    """A turn that may say whether it is learned, under any of the names that tools give it."""

    weight: WrittenNumber | None = None
    loss: WrittenFlag | WrittenNumber | None = None
    train: WrittenFlag | WrittenNumber | None = None

    @property
    def learned(self) -> float | None:
        """The weight of the turn, if one is stated."""
        stated = [float(value) for value in (self.weight, self.loss, self.train) if value is not None]
        return min(stated) if stated else None


def learned(name: str, turns: Turns, weights: Sequence[float | None], source: str, **about: str) -> Imported:
    """The demonstration or prompt that a conversation becomes; only assistant turns have weights.

    It ends with the last response that is to be learned, or else with the user's last turn.
    """
    if any(weight not in (None, 0, 1) for weight in weights):
        return Refused("a weight that is neither 0 nor 1")
    responses = [place for place, (role, _) in enumerate(turns) if role == "assistant"]
    wanted = [place for place in responses if weights[place] != 0]
    if not responses or turns[-1][0] != "assistant":
        return _record(name, turns, source, **about)
    if not wanted:
        return with_changes(_record(name, _up_to_user(turns), source, **about), CUT)
    earlier = EARLIER if len(wanted) < sum(place <= wanted[-1] for place in responses) else None
    cut = CUT if wanted[-1] < len(turns) - 1 else None
    return with_changes(_record(name, turns[: wanted[-1] + 1], source, **about), cut, earlier)


def _record(name: str, turns: Turns, source: str, **about: str):
    kind = prompt if turns and turns[-1][0] == "user" else demonstration
    return kind(name, turns, source, **about)


def _up_to_user(turns: Turns) -> Turns:
    end = max((place for place, (role, _) in enumerate(turns) if role == "user"), default=-1)
    return turns[: end + 1]
