"""What the pages need to know: the store, and the parts of params.yaml and configs/ that say how labeling goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from alignloop.data.record_files import read
from alignloop.errors import AlignloopError
from alignloop.labeling import rounds
from alignloop.labeling.assignments import Lending
from alignloop.labeling.database import Store
from alignloop.params import Params
from alignloop.params.people import PromptQuestion, Rating
from alignloop.records import Ranking


class SettingsError(AlignloopError):
    """A file that the pages need cannot be used."""


@dataclass(frozen=True)
class Settings:
    """How labeling goes; `version` is the guidelines' and stands on every answer."""

    url: str
    ratings: Sequence[Rating]
    about: Sequence[PromptQuestion]
    needed: float
    lending: Lending
    guidelines: str
    version: str
    root: Path


def prepare(store: Store, params: Params, root: Path) -> Settings:
    """Read guidelines, quiz and gold items, and keep them in the store."""
    plan = params.people
    try:
        guidelines = (root / plan.guidelines).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{plan.guidelines}: cannot be read: {error}; write it, or correct people.guidelines"
        ) from None
    version = blake2b(guidelines.encode(), digest_size=4).hexdigest()
    rounds.keep_guidelines(store, version, guidelines)
    rounds.publish_known(store, "quiz", read(root / plan.quiz, Ranking))
    rounds.publish_known(store, "gold", read(root / plan.gold, Ranking))
    lending = Lending(plan.lease_minutes, plan.gold_share, plan.repeated_share)
    return Settings(
        plan.url,
        plan.ratings,
        plan.prompt_questions,
        params.label.screening_pass,
        lending,
        guidelines,
        version,
        root,
    )
