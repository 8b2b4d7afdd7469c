"""Which ranks hang: those that should compute and do not, never those that wait or that rank 0 holds up."""

from pathlib import Path

import pytest

from alignloop.pipeline.rank_files import ABORTED, Beat, RankFolder
from alignloop.pipeline.rank_watch import HANG_SECONDS, RankWatch

Lives = dict[int, tuple[bool, bool, str]]  # rank -> whether it beats, whether it computes, what it does


def watched(folder: Path, lives: Lives, looks: int = HANG_SECONDS + 1) -> str:
    """What the watch says after so many looks at ranks that live like this."""
    files, said = RankFolder(folder), ""
    watch = RankWatch(files, len(lives))
    for number in range(1, looks + 1):
        for rank, (beats, computes, activity) in lives.items():
            if beats or number == 1:
                files.beat(rank, Beat(number, number * 0.5 if computes else 0.0, activity))
        said = watch.look()
        assert not said or number > HANG_SECONDS, number
    return said


@pytest.mark.parametrize("activity", ["control", "passes"])
def test_a_rank_that_computes_or_waits_is_left_alone(tmp_path: Path, activity: str) -> None:
    assert watched(tmp_path, {0: (True, True, activity), 1: (True, False, "waits")}, 1000) == ""
    assert watched(tmp_path, {0: (True, False, "waits"), 1: (True, True, activity)}, 1000) == ""


def test_what_rank_0_does_between_passes_may_take_long(tmp_path: Path) -> None:
    assert watched(tmp_path, {0: (True, False, "control"), 1: (True, False, "waits")}, 1000) == ""


@pytest.mark.parametrize(
    ("lives", "said"),
    [
        (
            {0: (True, False, "waits"), 1: (False, False, "waits")},
            "rank 1 of 2 gave no sign of life for 40 s",
        ),
        ({0: (True, False, "waits"), 1: (True, False, "control")}, "rank 1 of 2 did nothing for 40 s"),
        ({0: (True, False, "passes"), 1: (True, False, "passes")}, "ranks 0 and 1 of 2 did nothing for 40 s"),
        ({0: (False, False, "control"), 1: (True, False, "waits")}, "rank 0 of 2 gave no sign of life"),
    ],
)
def test_a_rank_that_hangs_is_named(tmp_path: Path, lives: Lives, said: str) -> None:
    assert watched(tmp_path, lives).startswith(said)


def test_ranks_that_all_try_to_meet_and_do_not_are_told_to_look_at_the_network(tmp_path: Path) -> None:
    said = watched(tmp_path, {0: (True, True, "meets"), 1: (True, True, "meets")})
    assert said.startswith("the 2 processes run, and have not reached each other for 40 s; let the hosts")
    assert watched(tmp_path, {0: (True, False, "meets"), 1: (True, True, "control")}, 1000) == ""


def test_a_rank_that_has_not_begun_is_not_judged(tmp_path: Path) -> None:
    watch = RankWatch(RankFolder(tmp_path), 2)
    assert [watch.look() for _ in range(2 * HANG_SECONDS)] == [""] * 2 * HANG_SECONDS


def test_the_words_are_those_of_the_rank_that_failed_not_of_those_it_took_along(tmp_path: Path) -> None:
    files = RankFolder(tmp_path)
    watch = RankWatch(files, 3)
    files.errors(1).write_text("lost\n")
    files.end(1, ABORTED)
    files.errors(2).write_text("sft: step 3: the loss is nan\n")
    files.end(2, 1)
    assert watch.failure({0: ABORTED, 1: ABORTED, 2: 1}) == "sft: step 3: the loss is nan"
    assert "rank 1 of 3 was ended by SIGKILL" in RankWatch(RankFolder(tmp_path / "none"), 3).failure({1: -9})
