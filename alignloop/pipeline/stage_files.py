"""The files that a stage's command reads and writes, from dvc.yaml; their hashes are a run's lineage.

dvc.yaml is read directly, in milliseconds, because every stage does so when it starts; DVC would load its
whole index.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from alignloop.params import ParamsError
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.code_paths import CODE, is_code
from alignloop.pipeline.dvc_lock import load_yaml
from alignloop.pipeline.dvc_phases import size_of
from alignloop.pipeline.loop import NO_PART_OF_THE_RESULT

ALWAYS = ("seed", "threads", "compute")


@dataclass(frozen=True)
class Entry:
    """One stage of dvc.yaml, its round filled in."""

    name: str
    round: str | None
    command: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]  # metrics and plots too
    params: tuple[str, ...]


@dataclass(frozen=True)
class Footprint:
    """A command's paths.

    `inputs` include other stages' outs inside or around an input; `pages` are reports that are not hashed.
    """

    stage: str
    round: str | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    code: tuple[str, ...]
    pages: tuple[str, ...]
    params: tuple[str, ...]

    @property
    def name(self) -> str:
        """The stage's name in DVC: `reward@r2`."""
        return f"{self.stage}@{self.round}" if self.round else self.stage

    def uses(self, key: str) -> bool:
        """Whether the stage depends on this key of params.yaml, `ppo.kl.coef` for one."""
        if key.startswith(NO_PART_OF_THE_RESULT):
            return False
        return any(key == own or key.startswith(f"{own}.") for own in (*self.params, *ALWAYS))


def footprint(root: Path, stage: str, arguments: Sequence[str], given: Mapping[str, Any]) -> Footprint:
    """The files of `python -m alignloop STAGE ARGUMENTS`; if not in dvc.yaml, the paths in `given`."""
    known = list(entries(root))
    paths = [path.as_posix() for path in given.values() if isinstance(path, Path)]
    for entry in known:
        if shlex.split(entry.command)[2:] == ["alignloop", stage, *arguments]:
            data = [path for path in entry.deps if not is_code(path)]
            others = [out for other in known if other is not entry for out in other.outs]
            near = [out for out in others if any(_within(out, path) or _within(path, out) for path in data)]
            declared = (*data, *entry.outs)
            pages = tuple(
                path
                for path in paths
                if not any(_within(path, own) or _within(own, path) for own in declared)
            )
            code = tuple(path for path in entry.deps if is_code(path))
            return Footprint(
                stage=entry.name,
                round=entry.round,
                inputs=tuple(dict.fromkeys([*data, *near])),
                outputs=entry.outs,
                code=code,
                pages=pages,
                params=entry.params,
            )
    present = tuple(path for path in paths if (root / path).exists())
    made = tuple(path for path in paths if path not in present)
    return Footprint(stage, given.get("round"), present, made, code=(), pages=(), params=(stage,))


def fingerprint(
    root: Path,
    stage: str,
    arguments: Sequence[str],
    *,
    params: Mapping[str, Any],
    inputs: Mapping[str, str],
    code: Mapping[str, str],
) -> str:
    """One hash of everything that a result depends on: command, parameters, inputs, code, and libraries."""
    libraries = {name: version(name) for name in ("numpy", "torch", "transformers")}
    known = [
        stage,
        list(arguments),
        dict(params),
        dict(inputs),
        dict(code) or hashes(root, [CODE]),
        libraries,
        sys.version,
    ]
    return blake2b(json.dumps(known, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def entries(root: Path) -> Iterator[Entry]:
    """The stages of the project's dvc.yaml, with `foreach` unrolled; none where the file is missing."""
    file, values = root / "dvc.yaml", root / "params.yaml"
    if not file.exists():
        return
    params = _read(values) if values.exists() else {}
    for name, stage in (_read(file).get("stages") or {}).items():
        if "foreach" not in stage:
            yield _entry(name, None, _filled(stage, params))
            continue
        each = _value(stage["foreach"], params)
        for key, item in each.items() if isinstance(each, dict) else ((value, value) for value in each):
            yield _entry(name, str(key), _filled(stage["do"], {**params, "key": key, "item": item}))


def hashes(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """The DVC hash of each path that exists."""
    return {path: dvc_pipeline.hash_of(root / path, root) for path in paths if (root / path).exists()}


def sizes(root: Path, paths: Iterable[str]) -> dict[str, int]:
    """The bytes of each path that exists."""
    return {path: size_of(root / path) for path in paths if (root / path).exists()}


def _read(file: Path) -> Any:
    return load_yaml(file.read_text(encoding="utf-8"))


def _entry(name: str, round: str | None, stage: Mapping[str, Any]) -> Entry:
    def names(*keys: str) -> tuple[str, ...]:
        return tuple(
            word
            for key in keys
            for item in stage.get(key, ())
            for word in (item if isinstance(item, dict) else [item])
        )

    return Entry(
        name,
        round,
        stage["cmd"],
        deps=names("deps"),
        outs=names("outs", "metrics", "plots"),
        params=names("params"),
    )


def _filled(node: Any, values: Mapping[str, Any]) -> Any:
    """`node` with every `${a.b}` in its strings replaced."""
    if isinstance(node, dict):
        return {_filled(key, values): _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    return (
        re.sub(r"\$\{.*?\}", lambda match: str(_value(match[0], values)), node)
        if isinstance(node, str)
        else node
    )


def _value(expression: Any, values: Any) -> Any:
    """The value of `${a.b}`; anything else is its own value."""
    if not isinstance(expression, str):
        return expression
    for key in expression.removeprefix("${").removesuffix("}").strip().split("."):
        if not isinstance(values, Mapping) or key not in values:
            raise ParamsError(
                f"params.yaml: dvc.yaml reads {expression}, and '{key}' is missing there; params.yaml "
                "in git has it"
            )
        values = values[key]
    return values


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)
