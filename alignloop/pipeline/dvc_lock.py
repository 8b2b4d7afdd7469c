"""dvc.lock as a record: which stage made which bytes from which, and where that record has holes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alignloop.pipeline.code_paths import is_code


@dataclass(frozen=True)
class Recorded:
    """What dvc.lock says of one stage: the data it read, what it wrote, and its code, path to hash; and its numbers."""

    stage: str
    round: str | None
    inputs: dict[str, str]
    outputs: dict[str, str]
    code: dict[str, str]
    params: dict[str, Any]


def recorded(root: Path) -> Iterator[Recorded]:
    """Every stage in the project's dvc.lock."""
    file = root / "dvc.lock"
    if file.exists():
        yield from read(file.read_text(encoding="utf-8"))


def read(text: str) -> Iterator[Recorded]:
    """Every stage in the text of a dvc.lock."""
    for address, stage in (parsed(text) or {}).get("stages", {}).items():
        name, _, round = address.partition("@")
        inputs, outputs = (
            {item["path"]: item.get("md5", "") for item in stage.get(key, ())} for key in ("deps", "outs")
        )
        code = {path: hash for path, hash in inputs.items() if is_code(path)}
        data = {path: hash for path, hash in inputs.items() if path not in code}
        yield Recorded(
            name, round or None, data, outputs, code, stage.get("params", {}).get("params.yaml", {})
        )


def parsed(text: str) -> Any:
    """What the YAML of one of DVC's files says, read by C where it is there: ten times as fast."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def untraced(root: Path, path: str) -> list[str]:
    """The paths among all that `path` was made from whose bytes no stage is recorded to have made; raw bytes have no maker to miss."""
    makers = {out: entry for entry in recorded(root) for out in entry.outputs}
    if path not in makers:
        return [path]
    holes: set[str] = set()
    todo, seen = [makers[path]], {path}
    while todo:
        for inner, hash in todo.pop().inputs.items():
            maker = makers.get(inner)
            if maker and (not hash or maker.outputs[inner] != hash):
                holes.add(inner)
            elif maker and inner not in seen:
                seen.add(inner)
                todo.append(maker)
    return sorted(holes)
