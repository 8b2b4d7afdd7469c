"""What a command reads and writes, as `dvc.yaml` declares it: the paths whose hashes make up a run's lineage."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

try:
    from alignloop.io import versioning
except ImportError:  # until it is there
    from types import SimpleNamespace as _Space

    versioning: Any = _Space(stages=lambda root: {}, hash_of=lambda path: "0" * 32)

CODE = "alignloop"
ALWAYS = ("seed", "threads")


@dataclass(frozen=True)
class Footprint:
    """A command's declared paths. `inputs` also hold the other stages' outs that lie in an input, or around one."""

    stage: str
    round: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    code: tuple[str, ...]
    params: tuple[str, ...]

    def uses(self, key: str) -> bool:
        """Whether the stage depends on this key of params.yaml, `ppo.kl.coef` for one."""
        return any(key == own or key.startswith(f"{own}.") for own in (*self.params, *ALWAYS))


def footprint(root: Path, stage: str, arguments: Sequence[str], given: dict[str, Any]) -> Footprint:
    """The footprint of `python -m alignloop STAGE ARGUMENTS`; of a command that dvc.yaml lacks, the paths it is given."""
    stages = versioning.stages(root)
    for address, entry in stages.items():
        if shlex.split(entry.cmd)[2:] == ["alignloop", stage, *arguments]:
            name, _, round = address.partition("@")
            outs = [out for other in stages.values() if other is not entry for out in other.outs]
            data = [path for path in entry.deps if not _within(path, CODE)]
            near = [out for out in outs if any(_within(out, path) or _within(path, out) for path in data)]
            code = tuple(path for path in entry.deps if _within(path, CODE))
            return Footprint(name, round or None, tuple(dict.fromkeys([*data, *near])), tuple(entry.outs), code, tuple(entry.params))
    paths = tuple(path.as_posix() for path in given.values() if isinstance(path, Path))
    present = tuple(path for path in paths if (root / path).exists())
    made = tuple(path for path in paths if path not in present)
    return Footprint(stage, given.get("round"), present, made, (), (stage,))


def hashes(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """The DVC hash of each path that exists."""
    return {path: versioning.hash_of(root / path) for path in paths if (root / path).exists()}


def size_of(path: Path) -> dict[str, int]:
    """How much data there is: JSON lines, files and bytes."""
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    records = 0
    for file in files:
        if file.suffix == ".jsonl":
            with file.open("rb") as stream:
                records += sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return {"records": records, "files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)
