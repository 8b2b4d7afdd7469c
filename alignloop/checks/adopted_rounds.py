"""Checkpoints that rounds adopt: looked at before anything runs, by their files alone. Imports no torch."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from alignloop.checks.findings import Finding
from alignloop.core.hub_ids import is_local
from alignloop.core.model_shape import ADAPTER, is_adapter
from alignloop.params import Params

TOKENIZER = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"


def check_adopted(params: Params, root: Path) -> list[Finding]:
    """An error for each fault of the checkpoints of rounds by: adopted."""
    found: list[Finding] = []
    made = {"models/base", "models/sft", *(f"models/{name}/policy" for name in params.rounds)}
    for name, plan in params.rounds.items():
        if plan.by == "adopted":
            place, base = f"rounds.{name}.start: {plan.start}", params.adopted.base
            faults = _faults(root, root / plan.start, base, made)
            found += [Finding("adopted", "error", f"{place}: {fault}", remedy) for fault, remedy in faults]
    return found


def _faults(root: Path, folder: Path, base: str | None, made: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a checkpoint's files, and what helps. `made` are the loop's own policies."""
    if not folder.is_dir():
        yield "no such folder", "put the checkpoint there, or correct the path in params.yaml"
        return
    if not is_adapter(folder):
        if base is not None:
            yield f"is no adapter, so adopted.base ({base}) has no use", "leave adopted.base empty"
        if not list(folder.glob("*.safetensors")):
            yield "there are no weights (*.safetensors)", "save the model there as safetensors"
        yield from _template(folder, "it")
        return
    named = base or _json(folder / ADAPTER).get("base_model_name_or_path")
    if not named:
        yield f"{ADAPTER} names no base model", "set adopted.base to its folder"
    elif named not in made and is_local(named) and not (root / named).is_dir():
        yield f"the adapter's base {named} is not here", "set adopted.base to its folder"
    if (folder / TOKENIZER).is_file():
        yield from _template(folder, "it")
    elif named and (root / named).is_dir():
        yield from _template(root / named, f"its base {named}")


def _template(folder: Path, what: str) -> Iterator[tuple[str, str]]:
    """Whether the tokenizer in a folder can render dialogues."""
    if not ((folder / TEMPLATE).is_file() or _json(folder / TOKENIZER).get("chat_template")):
        yield (
            f"{what} has no chat template",
            f"put the {TEMPLATE} that it was trained with into its folder; of a policy that was trained from "
            f"models/sft that is models/sft/{TEMPLATE}",
        )


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
