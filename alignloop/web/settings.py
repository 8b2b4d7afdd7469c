"""Settings of the labeling pages, read from params.yaml and configs/."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fastapi import Request

from alignloop.errors import AlignloopError
from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.item_selection import AssignmentSettings
from alignloop.labeling.known_rankings import read_known
from alignloop.params import Params
from alignloop.params.people import Flag, People, PromptQuestion, Rating


class SettingsError(AlignloopError):
    """A file that the labeling pages need cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Settings of the labeling pages; every submission records `guidelines_version`."""

    url: str
    ratings: Sequence[Rating]
    flags: Sequence[Flag]  # that are not among the ratings
    submit_key: str
    about: Sequence[PromptQuestion]
    quiz_pass_share: float
    assignments: AssignmentSettings
    guidelines: str
    guidelines_version: str
    people: People
    root: Path


def prepare_settings(database: LabelingDatabase, params: Params, root: Path) -> Settings:
    """Read the settings, and publish guidelines, quiz and gold items to the database.

    Gold items are those whose order is known (ground truth).
    """
    plan = params.people
    try:
        guidelines = (root / plan.guidelines).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{plan.guidelines}: cannot be read: {error}; write it, or correct people.guidelines"
        ) from None
    version = blake2b(guidelines.encode(), digest_size=4).hexdigest()
    rounds.record_guidelines(database, version, guidelines)
    rounds.publish_known_rankings(database, "quiz", read_known(root, plan.quiz))
    rounds.publish_known_rankings(database, "gold", read_known(root, plan.gold))
    return Settings(
        url=plan.url,
        ratings=plan.ratings,
        flags=[flag for flag in plan.flags if flag not in plan.ratings],
        submit_key=plan.submit_key,
        about=plan.prompt_questions,
        quiz_pass_share=params.label.screening_pass,
        assignments=AssignmentSettings(plan.lease_minutes, plan.gold_share, plan.repeated_share),
        guidelines=guidelines,
        guidelines_version=version,
        people=plan,
        root=root,
    )


def get_settings(request: Request) -> Settings:
    """The settings of the application that serves a request."""
    return request.app.state.settings
