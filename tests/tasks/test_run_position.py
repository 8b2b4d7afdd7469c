"""How far a run is: stages are counted, and times are measured or said to be unknown."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from alignloop.pipeline.dvc_pipeline import Stage, pipeline
from alignloop.pipeline.overrides import override
from tasks.run_position import DURATIONS, REFERENCE, RunPosition, marks_of, read_durations, spoken

PROJECT = Path(__file__).parents[2]
ORDER = ("ingest", "sft", "sample@r1", "ppo@r1", "sample@r2", "ppo@r2", "release")
KEYS = {"ingest": ("ingest",), "ppo": ("ppo",)}


class Clock:
    """A clock that stands still until it is set forward."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def stages() -> dict[str, Stage]:
    found = {}
    for name in ORDER:
        group, _, round = name.partition("@")
        found[name] = Stage(
            name=name,
            group=group,
            round=round or None,
            command="",
            deps=(),
            outs=(),
            metrics=(),
            params=KEYS.get(group, ()),
        )
    return found


def position(project: Path, clock: Clock, stale: Sequence[str] = ORDER) -> RunPosition:
    return RunPosition(project, stages(), ORDER, stale, clock)


def run_all(run: RunPosition, clock: Clock, seconds: float, names: Sequence[str] = ORDER) -> list[str]:
    """Run the stages, each in so many seconds; return what is said when each begins."""
    said = []
    for name in names:
        said.append(run.begin(name))
        clock.now += seconds
        run.end(name, ran=True)
    return said


def test_a_first_run_says_what_is_unknown_and_learns_from_its_first_round(project: Path) -> None:
    clock = Clock()
    assert run_all(position(project, clock), clock, 60) == [
        "stage 1 of 7: ingest · time left: not known yet",
        "stage 2 of 7: sft · time left: not known yet",
        "stage 3 of 7: sample@r1 · time left: not known yet",
        "stage 4 of 7: ppo@r1 · at least 1 min left",  # sample@r2
        "stage 5 of 7: sample@r2 · at least 2 min left",
        "stage 6 of 7: ppo@r2 · at least 1 min left",
        "stage 7 of 7: release · time left: not known yet",
    ]


def test_a_second_run_knows_from_the_first_and_corrects_by_its_own_speed(project: Path) -> None:
    clock = Clock()
    run_all(position(project, clock), clock, 60)
    run = position(project, clock)
    assert run.begin("ingest") == "stage 1 of 7: ingest · about 7 min left"
    clock.now += 180  # three times as slow as before
    assert run.end("ingest", ran=True) == "stage 1 of 7 · about 18 min left"
    kept = position(project, clock, stale=["ppo@r2", "release"])
    assert kept.end("ingest", ran=False) == "stage 1 of 7 · about 2 min left"
    assert kept.end("ppo@r2", ran=False) == "stage 6 of 7 · about 1 min left"
    assert kept.end("release", ran=False) == "stage 7 of 7"


def test_times_measured_with_other_parameters_or_sources_count_as_unknown(project: Path) -> None:
    clock = Clock()
    run_all(position(project, clock), clock, 60)
    override(project / "params.yaml", changes={"ppo.steps": 7})
    assert position(project, clock).begin("ingest").endswith(" · at least 5 min left")
    override(project / "params.yaml", changes={"ingest.world.prompts": 301})
    assert position(project, clock).begin("ingest").endswith(" · time left: not known yet")
    run_all(position(project, clock), clock, 60)
    assert position(project, clock).begin("ingest").endswith(" · about 7 min left")
    (project / "data" / "sources").mkdir(parents=True, exist_ok=True)
    (project / "data" / "sources" / "more.txt").write_text("more")
    assert position(project, clock).begin("ingest").endswith(" · time left: not known yet")


def test_a_stage_that_resumed_is_not_measured_and_a_broken_file_is_nothing_measured(project: Path) -> None:
    clock = Clock()
    run = position(project, clock)
    run.end("ingest", ran=False)
    assert not (project / DURATIONS).exists()
    run_all(run, clock, 60, ORDER[1:])
    assert set(json.loads((project / DURATIONS).read_text())) == set(ORDER[1:])
    for text in ("{", "[1]", '{"sft": 3}'):
        (project / DURATIONS).write_text(text)
        assert position(project, clock).begin("sft") == "stage 2 of 7: sft · time left: not known yet"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (89, "1 min"), (540, "9 min"), (7500, "2 h 5 min"), (90_000, "25 h")],
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


def test_a_first_default_run_goes_by_another_machines_times_until_its_own_are_known(project: Path) -> None:
    clock, shipped = Clock(), read_durations(REFERENCE)
    if (PROJECT / "data" / "sources").exists():
        shutil.copytree(PROJECT / "data" / "sources", project / "data" / "sources")
    every = pipeline(PROJECT).stages()
    order = list(every)
    marks = marks_of(project, list(every.values()))
    assert {name: mark for name, (mark, _) in shipped.items()} == marks, (
        "reference_durations.json is of other parameters; after a default run: python -m tasks.run_position"
    )
    run = RunPosition(project, every, order, order, clock)
    total = spoken(sum(seconds for _, seconds in shipped.values()))
    first = order[0]
    assert run.begin(first) == (
        f"stage 1 of {len(order)}: {first} · about {total} left, by another machine's times"
    )
    clock.now += 2 * shipped[first][1]
    twice = spoken(2 * sum(seconds for name, (_, seconds) in shipped.items() if name != first))
    assert run.end(first, ran=True) == f"stage 1 of {len(order)} · about {twice} left", "half as fast"
