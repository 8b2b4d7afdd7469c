"""A stage finds what it left on another number of processes, if all else is the same."""

from pathlib import Path

import torch

from alignloop.core.train_state import State
from alignloop.training import elastic
from alignloop.training.checkpoints import Checkpoint


class Number:
    """A number to remember."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = torch.tensor([value])

    def state(self) -> State:
        return {"value": self.value}

    def restore(self, state: State) -> None:
        self.value = state["value"]


def leave(root: Path, fingerprint: str, likeness: str, processes: str) -> None:
    """A stage that was interrupted after one checkpoint."""
    elastic.sign(root, "sft", fingerprint, likeness, processes)
    checkpoint = Checkpoint(root, "sft", fingerprint, 1)
    checkpoint.hold(number=Number(7.0))
    checkpoint.after(1, last=False)


def resumed(root: Path, fingerprint: str) -> float:
    number = Number()
    Checkpoint(root, "sft", fingerprint, 1).hold(number=number)
    return float(number.value)


def test_a_stage_resumes_on_another_number_of_processes_and_knows_it(tmp_path: Path) -> None:
    leave(tmp_path, "on two", "alike", "2 processes, shard none")
    assert elastic.adopt(tmp_path, "sft", "on one", "alike") == "2 processes, shard none"
    elastic.sign(tmp_path, "sft", "on one", "alike", "1 process")
    assert resumed(tmp_path, "on one") == 7.0
    assert elastic.adopt(tmp_path, "sft", "on one", "alike") == "", "it is its own now"


def test_other_parameters_or_inputs_start_anew(tmp_path: Path) -> None:
    leave(tmp_path, "on two", "alike", "2 processes, shard none")
    assert elastic.adopt(tmp_path, "sft", "on one", "other") == ""
    assert resumed(tmp_path, "on one") == 0.0


def test_without_elastic_another_number_of_processes_starts_anew(tmp_path: Path) -> None:
    leave(tmp_path, "on two", "alike", "2 processes, shard none")
    elastic.sign(tmp_path, "sft", "on one", "alike", "1 process")
    assert resumed(tmp_path, "on one") == 0.0
