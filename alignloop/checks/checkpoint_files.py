"""A checkpoint's folder: are its files whole, of a kind that can be trained, and its numbers finite."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from alignloop.checks.findings import Finding, error
from alignloop.core.checkpoint_folder import check_folder, check_kind, first_line
from alignloop.core.hub_ids import is_local
from alignloop.core.model_shape import weight_files
from alignloop.errors import AlignloopError
from alignloop.phases import counted

INDEX = "model.safetensors.index.json"
PACKED = (
    "qweight",
    "qzeros",
    "weight_scale_inv",
    "weight_packed",
    "quant_state",
)  # ends of quantised tensors
FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]  # of a checkpoint on the hub


def fetch(checkpoint: str) -> Path | Finding:
    """The folder of a checkpoint; a hub id is fetched first."""
    if is_local(checkpoint) or Path(checkpoint).exists():
        return Path(checkpoint)
    from huggingface_hub import snapshot_download  # only where something has to be fetched

    try:
        return Path(snapshot_download(checkpoint, allow_patterns=FILES))
    except Exception as fault:  # the hub, the network and the cache each fail in their own way
        return error(
            "files",
            f"{checkpoint}: neither a folder nor a checkpoint that can be fetched from the hub "
            f"({first_line(fault)}); correct the path or the id, or be online the first time",
        )


def check_files(folder: Path) -> list[Finding]:
    """What is wrong with the files; nothing that an error leaves uncertain is looked at."""
    for look in (check_folder, check_kind):
        try:
            look(str(folder))
        except AlignloopError as fault:
            return [error("files", fault)]
    if faults := [*_shards(folder), *_quantised(folder)]:
        return faults
    count = len(weight_files(folder))
    return [
        Finding("files", "ok", f"safetensors weights in {count} file{'' if count == 1 else 's'}, complete")
    ]


def _shards(folder: Path) -> Iterator[Finding]:
    """Files and tensors that the index names and that are not there."""
    if not (folder / INDEX).is_file():
        return
    try:
        index: Any = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        named: dict[str, str] = dict(index["weight_map"])
    except (ValueError, KeyError, TypeError, OSError) as fault:
        yield error("files", f"{folder / INDEX}: cannot be read ({first_line(fault)}); fetch the file again")
        return
    missing = sorted({file for file in named.values() if not (folder / file).is_file()})
    if missing:
        yield error(
            "files",
            f"{folder}: {len(missing)} of {len(set(named.values()))} weight files are missing: "
            f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}; fetch them",
        )


def _quantised(folder: Path) -> Iterator[Finding]:
    """Weights that are packed although config.json does not say so."""
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="np") as content:
                names = content.keys()
                packed = next((name for name in names if name.endswith(PACKED)), None)
        except (OSError, SafetensorError) as fault:
            yield error("files", f"{file}: cannot be read ({first_line(fault)}); fetch the file again")
            continue
        if packed or (folder / "quantize_config.json").is_file():
            yield error(
                "files",
                f"{folder}: the weights are quantised ({packed or 'quantize_config.json'}), and training "
                "needs whole ones; take the checkpoint that it was quantised from",
            )
            return


def check_numbers(folder: Path) -> list[Finding]:
    """Tensors that hold NaN or infinity, and the type of the weights."""
    types: set[str] = set()
    broken: list[str] = []
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as content:
            names = content.keys()
            for name in counted("looking for NaN and infinity", list(names), len(names), of=file.name):
                tensor = content.get_tensor(name)
                types.add(str(tensor.dtype).removeprefix("torch."))
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    broken.append(f"{name} ({tensor.dtype})".replace("torch.", ""))
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        return [
            error(
                "weights",
                f"{folder}: NaN or infinity in {', '.join(broken[:3])}{more}: numbers beyond 65,504 do not "
                "fit into float16; fetch the weights again, or take them in bfloat16 or float32",
            )
        ]
    return [Finding("weights", "ok", f"{', '.join(sorted(types))}; all finite; loaded as float32")]
