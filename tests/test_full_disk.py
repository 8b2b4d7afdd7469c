"""A real stage by its real command, where all of the checkout lies on a disk that fills up in the middle of
it.
"""

import io
import json
import re
import shutil
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.data.record_files import write
from alignloop.pipeline.overrides import override
from alignloop.records import Document
from tests.mounts import small_disk, told_by

SMALL = {
    "vocabulary": 300,
    "layers": 1,
    "width": 32,
    "heads": 2,
    "context": 96,
    "epochs": 4,
    "documents_per_step": 8,
}
OUTS = ("models/base/model.safetensors", "pretrain.json", "pretrain.csv")
COMMAND = "pretrain --corpus corpus --out models/base --metrics pretrain.json --plots pretrain.csv"


@pytest.fixture
def checkout(project: Path) -> Path:
    """A project whose base model is trained in twelve steps, with a checkpoint of 280 kB after each."""
    override(
        project / "params.yaml",
        changes={"checkpoint_every.pretrain": 1} | {f"pretrain.{key}": value for key, value in SMALL.items()},
    )
    things = ["salt", "rock", "wood", "snow", "clay"]
    for split, size in (("train", 24), ("valid", 6)):
        documents = [
            Document(id=f"t{n}", text=f"Thing {n} is made of {things[n % 5]}.", source="s")
            for n in range(size)
        ]
        write(project / "corpus" / f"{split}.jsonl", documents)
    return project


def run() -> tuple[int, str, str]:
    """Give the command here; its exit status, what it printed, and what it said on standard error."""
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as said:
        return main(COMMAND.split()), printed.getvalue(), said.getvalue()


def made() -> tuple[list[str], list[tuple[int, float]], list[str]]:
    """The bytes of the outs, the points of the loss in MLflow, and how its runs ended."""
    root = Path.cwd()
    runs = tracking.runs(root)
    history = tracking.client(tracking.store_uri(root)).get_metric_history(runs[0].id, "loss")
    return (
        [Path(out).read_bytes().hex() for out in OUTS],
        [(point.step, point.value) for point in history],
        [run.status for run in runs],
    )


def test_a_full_disk_breaks_a_training_off_in_one_message_and_it_goes_on_to_the_same_bytes_when_there_is_room(
    checkout: Path, tmp_path: Path
) -> None:
    def work() -> str:
        disk = tmp_path / "disk"
        small_disk(disk, 64_000)
        shutil.copytree(checkout, disk / "checkout")
        with chdir(disk / "checkout"):
            (disk / "others").write_bytes(bytes(shutil.disk_usage(disk).free - 650_000))
            broken = run()
            (disk / "others").unlink()
            again, after = run(), made()
        with chdir(checkout):
            run()
            return json.dumps([broken, again, after, made()])

    told = told_by(work)
    assert told.startswith("["), told
    (status, _, said), (later, printed, _), after, undisturbed = json.loads(told)
    assert (status, later) == (1, 0)
    assert re.fullmatch(
        r"pretrain: /\S+: cannot be written: .*No space left.*; "  # the tensors, or the file beside
        r"(make room and run again: the last checkpoint stays|free some .* again: nothing was replaced)\n",
        said,
    )
    assert re.search(r"^pretrain  resumes after step [12] of 12$", printed, re.MULTILINE)
    assert after == undisturbed
    assert after[2] == ["FINISHED"]
