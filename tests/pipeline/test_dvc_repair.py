"""Half-written files of a DVC process that was killed are repaired."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import dvc.utils.serialize._common
import pytest

from alignloop.pipeline import dvc_repair
from alignloop.pipeline.dvc_pipeline import Pipeline


@pytest.mark.parametrize(
    "torn", ["", "schema: '2.0'\nstages:\n  raw:\n    cmd: 'ech"], ids=["empty", "half a line"]
)
def test_half_written_files_of_a_killed_dvc_are_repaired(project: Path, torn: str) -> None:
    def shell(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        subprocess.run(argv, cwd=cwd, env=env, check=True)

    root = project
    (root / "dvc.yaml").write_text("stages: {raw: {cmd: echo 1 > one, outs: [one]}}\n")
    Pipeline(root).bring_up_to_date("raw", shell)
    whole = (root / "dvc.lock").read_bytes()
    dvc_repair.back_up_lock(root)  # as every stage does when it starts
    (root / "dvc.lock").write_text(torn)
    (root / ".dvc" / "tmp" / "rwlock").write_text('{"read": {"')
    assert Pipeline(root).bring_up_to_date("raw", shell) == "unchanged"
    assert (root / "dvc.lock").read_bytes() == whole
    (root / "dvc.lock").unlink()
    Pipeline(root)
    assert not (root / "dvc.lock").exists(), "a lock that was removed on purpose is not restored"


def test_dvc_lock_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text("stages: {}\n")

    def dying(data: object, stream: TextIO) -> None:
        stream.write("stages: {raw")
        stream.flush()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dvc.utils.serialize._common._dump_data(str(lock), {}, dying)
    assert lock.read_text() == "stages: {}\n"
