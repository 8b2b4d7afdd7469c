"""Read dvc.lock: which stage made which bytes from which, and which bytes have no recorded stage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alignloop.pipeline.code_paths import is_code

ADOPTED = "adopted"  # the section of params.yaml that only rounds by this method depend on


@dataclass(frozen=True)
class LockedStage:
    """One stage in dvc.lock: its input data, its outputs and its code (path to hash), and its parameters."""

    stage: str
    round: str | None
    inputs: dict[str, str]
    outputs: dict[str, str]
    code: dict[str, str]
    params: dict[str, Any]


def locked_stages(root: Path) -> Iterator[LockedStage]:
    """Yield every stage in the project's dvc.lock."""
    file = root / "dvc.lock"
    if file.exists():
        yield from parse_lock(file.read_text(encoding="utf-8"))


def parse_lock(text: str) -> Iterator[LockedStage]:
    """Yield every stage in the text of a dvc.lock."""
    for address, stage in (load_yaml(text) or {}).get("stages", {}).items():
        name, _, round = address.partition("@")
        inputs, outputs = (
            {item["path"]: item.get("md5", "") for item in stage.get(key, ())} for key in ("deps", "outs")
        )
        code = {path: hash for path, hash in inputs.items() if is_code(path)}
        yield LockedStage(
            stage=name,
            round=round or None,
            inputs={path: hash for path, hash in inputs.items() if path not in code},
            outputs=outputs,
            code=code,
            params=stage.get("params", {}).get("params.yaml", {}),
        )


def load_yaml(text: str) -> Any:
    """Parse the YAML of one of DVC's files, with the C parser if it is installed: ten times as fast."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def untraced_inputs(root: Path, path: str) -> list[str]:
    """Return the paths, among all that `path` was made from, whose bytes no recorded stage made.

    Raw bytes, which no stage writes, do not count.
    """
    producers = _producers(root)
    if path not in producers:
        return [path]
    read = [pair for stage in _ancestors(producers, path) for pair in stage.inputs.items()]
    return sorted(
        {inner for inner, hash in read if inner in producers and not _is_made(producers, inner, hash)}
    )


def adopted_rounds(root: Path, path: str) -> list[str]:
    """Return the rounds, among all that `path` was made from, whose policy was trained elsewhere."""
    found = _ancestors(_producers(root), path)
    return sorted({stage.round or "" for stage in found if ADOPTED in stage.params})


def _producers(root: Path) -> dict[str, LockedStage]:
    """The stage that made each output."""
    return {out: stage for stage in locked_stages(root) for out in stage.outputs}


def _is_made(producers: Mapping[str, LockedStage], path: str, hash: str) -> bool:
    """Whether a recorded stage made these bytes."""
    return bool(hash) and path in producers and producers[path].outputs[path] == hash


def _ancestors(producers: Mapping[str, LockedStage], path: str) -> list[LockedStage]:
    """The stage that made `path`, and all whose outputs it was made from; none if no stage made it."""
    found = [producers[path]] if path in producers else []
    seen = {path}
    for stage in found:  # grows meanwhile
        for inner, hash in stage.inputs.items():
            if inner not in seen and _is_made(producers, inner, hash):
                seen.add(inner)
                found.append(producers[inner])
    return found
