"""A stage is continued from its newest whole checkpoint, of its own inputs, and from nothing else."""

import resource
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from alignloop.core.train_state import State
from alignloop.files import WriteError
from alignloop.training import checkpoints
from alignloop.training.checkpoints import Checkpoint, forget


class Counter:
    """Something that counts, and remembers in tensors, lists and plain values."""

    def __init__(self) -> None:
        self.step = 0
        self.seen = torch.zeros(3, dtype=torch.float64)
        self.more = [torch.empty(0)]

    def count(self) -> int:
        self.step += 1
        self.seen = self.seen + torch.tensor([1.0, 0.1, self.step], dtype=torch.float64)
        self.more = [torch.tensor(self.step), self.seen[:2] * 2]
        return self.step

    def state(self) -> State:
        return {
            "step": self.step,
            "seen": self.seen,
            "more": self.more,
            "big": 2**100 + self.step,
            "none": None,
            "text": "é",
            "empty": [],
        }

    def restore(self, state: State) -> None:
        assert state["big"] == 2**100 + state["step"]
        assert (state["none"], state["text"], state["empty"]) == (None, "é", [])
        self.step = state["step"]
        self.seen = state["seen"]
        self.more = state["more"]


@pytest.fixture(autouse=True, params=[1 << 20, 0], ids=["at once", "in a thread"])
def copied_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this holds for small states and for large ones."""
    monkeypatch.setattr(checkpoints, "COPIED_BYTES", request.param)


def work(root: Path, steps: int, fingerprint: str = "f", every: int = 1) -> tuple[int, Counter, list[str]]:
    """Count on to `steps`, and break off; returns where it began, what counted, and its journal."""
    checkpoint, counter = Checkpoint(root, "ppo@r1", fingerprint, every), Counter()
    journal = checkpoint.journal("lines")
    checkpoint.hold(counter=counter)
    began = counter.step
    while counter.step < steps:
        journal.add(f"step {counter.count()}", "…")
        checkpoint.after(counter.step, last=False)
    checkpoint.wait()
    return began, counter, list(journal)


def newest(root: Path) -> Path:
    return max((root / ".cache/checkpoints/ppo@r1/f").glob("[0-9]*"))


def test_work_goes_on_where_it_was_left_and_remembers_all_of_it(tmp_path: Path):
    work(tmp_path, 3)
    began, counter, lines = work(tmp_path, 5)
    _, whole, expected = work(tmp_path / "whole", 5)
    assert began == 3
    assert torch.equal(counter.seen, whole.seen)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(counter.more, whole.more, strict=True))
    assert lines == expected == [line for step in range(1, 6) for line in (f"step {step}", "…")]


def test_at_most_the_steps_since_the_last_turn_are_done_again_and_their_lines_are_not_there_twice(
    tmp_path: Path,
):
    work(tmp_path, 5, every=2)
    began, _, lines = work(tmp_path, 6, every=2)
    assert began == 4
    assert lines == [line for step in range(1, 7) for line in (f"step {step}", "…")]


def cut(file: str) -> Callable[[Path], Any]:
    return lambda place: (place / file).write_bytes((place / file).read_bytes()[:-7])


def zeroed(place: Path) -> None:
    file = place / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-16] + bytes(16))


@pytest.mark.parametrize(
    "tear",
    [
        cut("tensors.safetensors"),
        cut("state.json"),
        zeroed,
        lambda place: (place / "state.json").unlink(),
        cut("../lines.jsonl"),
    ],
    ids=["half the tensors", "half the JSON", "a hole", "no JSON", "half a journal"],
)
def test_a_torn_checkpoint_is_not_loaded_the_one_before_it_is(tmp_path: Path, tear: Callable[[Path], Any]):
    work(tmp_path, 4)
    tear(newest(tmp_path))
    began, counter, lines = work(tmp_path, 5)
    assert began == 3
    assert torch.equal(counter.seen, work(tmp_path / "whole", 5)[1].seen)
    assert len(lines) == 10


def test_a_process_that_dies_while_it_writes_leaves_what_was_there(tmp_path: Path):
    work(tmp_path, 4)
    part = newest(tmp_path).with_name(".00000005.part")
    part.mkdir()
    (part / "tensors.safetensors").write_bytes(b"half")
    assert work(tmp_path, 5)[0] == 4
    assert not part.exists()


def test_only_the_newest_two_are_kept(tmp_path: Path):
    work(tmp_path, 9)
    assert sorted(path.name for path in newest(tmp_path).parent.iterdir()) == [
        "00000008",
        "00000009",
        "lines.jsonl",
    ]


def test_other_inputs_start_from_the_beginning_and_leave_nothing_of_the_old(tmp_path: Path):
    work(tmp_path, 4)
    began, _, lines = work(tmp_path, 1, fingerprint="g")
    assert (began, len(lines)) == (0, 2)
    assert [path.name for path in (tmp_path / ".cache/checkpoints/ppo@r1").iterdir()] == ["g"]
    assert work(tmp_path, 4)[0] == 0


def test_where_a_file_cannot_grow_that_is_said_and_the_last_checkpoint_stays(tmp_path: Path):
    work(tmp_path, 4)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))  # the journal fits, the tensors do not
    try:
        with pytest.raises(
            WriteError,
            match=r"ppo@r1.*cannot be written: .*; make room and run again: the last checkpoint stays",
        ):
            work(tmp_path, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in newest(tmp_path).parent.glob(".*")] == []
    assert work(tmp_path, 5)[0] == 4


def test_a_stage_that_has_ended_keeps_its_last_checkpoint_until_dvc_has_recorded_it(tmp_path: Path):
    made = {"models/r1/policy": "a" * 32 + ".dir", "metrics/ppo.json": "b" * 32}
    work(tmp_path, 4)
    Checkpoint(tmp_path, "ppo@r1", "f", 1).done(made)
    for recorded, began in (
        ({}, 4),
        ({"ppo@r1": {**made, "metrics/ppo.json": "c" * 32}}, 4),
        ({"ppo@r1": made}, 0),
    ):
        forget(
            tmp_path, recorded
        )  # killed before DVC wrote dvc.lock; dvc.lock knows an earlier result; it knows this one
        assert work(tmp_path, 4)[0] == began


def test_a_step_that_ends_after_the_minutes_is_followed_by_a_checkpoint(tmp_path: Path):
    now = [0.0]
    checkpoint = Checkpoint(tmp_path, "ppo@r1", "f", None, minutes=10, clock=lambda: now[0])
    counter = Counter()
    checkpoint.hold(counter=counter)
    saved: list[int] = []
    for step, second in enumerate((599, 600, 601, 1199, 1200, 9000), 1):
        counter.count()
        now[0] = second
        before = checkpoint.summary()
        checkpoint.after(step, last=False)
        checkpoint.wait()
        saved += [step] if checkpoint.summary() != before else []
    assert saved == [2, 5, 6]
    assert checkpoint.summary().startswith("checkpoints: 3 of ")
    again = Counter()
    Checkpoint(tmp_path, "ppo@r1", "f", None, minutes=10).hold(counter=again)
    assert again.step == 6


def test_a_state_that_changes_in_place_while_a_thread_writes_it_is_written_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoints, "COPIED_BYTES", 0)
    free = Event()
    write = checkpoints.save_file
    monkeypatch.setattr(checkpoints, "save_file", lambda *given: (free.wait(10), write(*given)))
    checkpoint, counter = Checkpoint(tmp_path, "ppo@r1", "f", 1), Counter()
    checkpoint.hold(counter=counter)
    journal = checkpoint.journal("lines")
    journal.add("one")
    counter.count()
    checkpoint.after(1, last=False)
    counter.seen += 100.0  # the next step, in place, before the first byte is written
    journal.add("two")
    free.set()
    checkpoint.wait()
    again, read = Counter(), Checkpoint(tmp_path, "ppo@r1", "f", 1)
    read.hold(counter=again)
    assert again.seen.tolist() == [1.0, 0.1, 1.0]
    assert list(read.journal("lines")) == ["one"]


def test_what_went_wrong_in_the_thread_is_said_after_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoints, "COPIED_BYTES", 0)

    def full(*_: object) -> None:
        raise SafetensorError("No space left on device")

    checkpoint, counter = Checkpoint(tmp_path, "ppo@r1", "f", 2), Counter()
    checkpoint.hold(counter=counter)
    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "save_file", full)
        checkpoint.after(2, last=False)
        with pytest.raises(WriteError, match="No space left"):
            checkpoint.wait()
    with pytest.raises(WriteError, match="make room and run again: the last checkpoint stays"):
        checkpoint.after(3, last=False)
