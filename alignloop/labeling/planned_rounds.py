"""What the rounds of params.yaml will ask of labelers, said before a round is published."""

from collections.abc import Collection
from pathlib import Path

from alignloop.data.record_files import read
from alignloop.labeling.database import LabelingDatabase, existing_database
from alignloop.labeling.equal_responses import with_choice
from alignloop.labeling.rounds import progress
from alignloop.labeling.schema import Round
from alignloop.labeling.workload import (
    Pace,
    Workload,
    estimated_pace,
    measured_pace,
    mixed_share,
    pace_of_texts,
    round_workload,
)
from alignloop.params import Params
from alignloop.records import Samples

# assumed before there are responses: a third of the tokens that they may have, of 4 characters
RESPONSE_CHARACTERS_A_TOKEN, PROMPT_CHARACTERS = 4 / 3, 100


def announcements(root: Path, params: Params, rounds: Collection[str], sampled: Collection[str]) -> list[str]:
    """A line for each of `rounds` that people rank: its rankings, and the hours of labelers' time.

    The samples of the rounds in `sampled` are up to date; the others' are still to be drawn.
    """
    if not params.label.people_share:
        return []
    lines = []
    with existing_database(root) as database:
        for round in rounds:
            samples = None
            if round in sampled:
                if line := _open_round(params, database, round):
                    lines.append(line)
                    continue
                samples = with_choice(read(root / "data" / "samples" / f"{round}.jsonl", Samples))
            lines.append(f"round {round} asks people: {_plan(params, database, samples)}")
    return lines


def _open_round(params: Params, database: LabelingDatabase | None, round: str) -> str:
    """What is left of a round that is published; empty if it is not, or closed."""
    if database is None:
        return ""
    with database.reading() as session:
        plan = session.get(Round, round)
        if plan is None or plan.closed is not None:
            return ""
        state = progress(session, round)
        left = round_workload(session, round, params.people)
        return f"round {round}: {state.missing:,} of {state.wanted:,} rankings are missing, {left}"


def _plan(params: Params, database: LabelingDatabase | None, samples: list[Samples] | None) -> str:
    """The items of a round to be published and its hours; without samples, the most that it can have."""
    pace = _measured(database)
    if samples is not None:
        count, most = len(samples), ""
        texts = ((each.prompt.model_dump()["messages"], list(each.responses)) for each in samples)
        pace = pace or pace_of_texts(params.people, texts)
    else:
        count, most = params.sample.prompts + params.sample.valid_prompts, "up to "
        k = params.sample.responses_per_prompt
        length = RESPONSE_CHARACTERS_A_TOKEN * params.decoding.max_new_tokens
        pace = pace or estimated_pace(params.people, k, PROMPT_CHARACTERS + k * length)
    items, overlap = round(params.label.people_share * count), params.label.overlap
    each = f" for {overlap} labelers each" if overlap > 1 else ""
    return f"{most}{items:,} items{each}, {Workload(items * overlap, pace, mixed_share(params.people))}"


def _measured(database: LabelingDatabase | None) -> Pace | None:
    if database is None:
        return None
    with database.reading() as session:
        return measured_pace(session)
