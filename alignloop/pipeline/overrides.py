"""Override keys in params.yaml itself, so that `dvc repro` uses the same values; comments are kept."""

import io
import re
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from alignloop.files import replacing
from alignloop.params import Params, ParamsError, parse, values_in

NAMED_CHANGES = 3  # keys of --set that a message names


class _Representer(RoundTripRepresenter):
    """Writes 1e-05 as 1.0e-05: without the point, YAML 1.1 parsers read it as text."""

    def represent_float(self, data: float) -> Any:
        node = super().represent_float(data)
        node.value = re.sub(r"^(-?\d+)e", r"\1.0e", node.value)
        return node


_Representer.add_representer(float, _Representer.represent_float)


def override(
    path: Path, files: Path | Sequence[Path] | None = None, changes: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Merge YAML files, and then `changes` (dotted keys), into params.yaml; return {key: (before, after)}.

    The keys of a section are merged; a mapping that is one value, such as `rounds`, is replaced. Nothing is
    written unless the result is valid; otherwise ParamsError names the invalid key.
    """
    before = values_in(path, "restore it with `git checkout params.yaml`")
    text, _ = _merged(path, files, changes or {})
    if differences := _differences(before, yaml.safe_load(text)):
        with replacing(path) as part:
            part.write_text(text, encoding="utf-8")
    return differences


def preview(
    path: Path,
    files: Path | Sequence[Path] | None = None,
    changes: Mapping[str, Any] | None = None,
    *,
    base: str | None = None,
) -> Params:
    """What params.yaml would hold after `override` with the same arguments, and with this `base`, if any.

    Nothing is written.
    """
    values_in(path, "restore it with `git checkout params.yaml`")
    return _merged(path, files, changes or {}, base)[1]


def _merged(
    path: Path, files: Path | Sequence[Path] | None, changes: Mapping[str, Any], base: str | None = None
) -> tuple[str, Params]:
    """The text of params.yaml after the changes, and its values."""
    editor = YAML()
    editor.Representer = _Representer
    editor.width = 4096
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    tree = editor.load(path.read_text(encoding="utf-8"))
    given = [files] if isinstance(files, Path) else files or ()
    for file in given:
        _merge(tree, mapping_in(file), Params)
    for key, value in changes.items():
        _put(tree, key.split("."), value)
    if base is not None:
        tree["base"] = base
    changed = io.StringIO()
    editor.dump(tree, changed)
    origins = [path.name, *map(str, given), *(f"--set {key}" for key in changes)]
    if len(changes) > NAMED_CHANGES:
        origins[-len(changes) :] = [f"--set of {len(changes)} keys"]
    return changed.getvalue(), parse(yaml.safe_load(changed.getvalue()), " and ".join(origins))


def parse_value(text: str) -> Any:
    """Parse a value from the command line: YAML, in which 1e-5 is a number. Raises ParamsError."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParamsError(f"--set {text}: the value is not valid YAML: {error}") from None
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def mapping_in(file: Path) -> dict[str, Any]:
    """The keys of a YAML file of overrides. Raises ParamsError for a file that holds no mapping."""
    content = values_in(file, "name a YAML file with keys of params.yaml")
    if not isinstance(content, dict):
        raise ParamsError(
            f"{file}: is not a mapping of keys; write it like params.yaml, with only the keys that change"
        )
    return content


def _merge(tree: MutableMapping[str, Any], extra: Mapping[str, Any], section: type[BaseModel]) -> None:
    known = {field.alias or name: field.annotation for name, field in section.model_fields.items()}
    for key, value in extra.items():
        inner = known.get(key)
        if (
            isinstance(inner, type)
            and issubclass(inner, BaseModel)
            and isinstance(value, dict)
            and isinstance(tree.get(key), dict)
        ):
            _merge(tree[key], value, inner)
        else:
            tree[key] = value


def _put(tree: MutableMapping[str, Any], key: list[str], value: Any) -> None:
    for place, part in enumerate(key[:-1]):
        if not isinstance(tree.get(part), dict):
            raise ParamsError(
                f"--set {'.'.join(key)}: {'.'.join(key[: place + 1])} is not a section of params.yaml; "
                f"it has {', '.join(tree)}"
            )
        tree = tree[part]
    tree[key[-1]] = value


def _differences(before: Any, after: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return {} if before == after else {prefix: (before, after)}
    differences: dict[str, tuple[Any, Any]] = {}
    for key in {**before, **after}:
        name = f"{prefix}.{key}" if prefix else str(key)
        differences |= _differences(before.get(key), after.get(key), name)
    return differences
