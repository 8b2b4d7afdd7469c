"""Coverage-guided fuzzing of every importer with libFuzzer.

    python -m tests.data.formats.guided CORPUS_FOLDER -runs=1000000 -timeout=5 -rss_limit_mb=0

If an input makes an importer raise an error that is not a refusal, pass a record that fails the checks, or
take more than five seconds or 4 GiB of address space, the run ends with an error and saves the input.

libFuzzer's own memory limit is switched off. It reads ``ru_maxrss``, and Linux lets a new process inherit the
peak of the process that started it: a large test process would make every input look like a memory error.
"""

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import atheris  # pyright: ignore[reportMissingImports]  # no wheel for every machine

with atheris.instrument_imports(include=["alignloop.data"]):  # pyright: ignore[reportAttributeAccessIssue]
    from alignloop.data.formats import FORMATS

from tests.data.formats.fuzzing import sniffed, survives
from tests.data.formats.samples import SAMPLES, STORY, write

NAMES = sorted(SAMPLES)
ADDRESS_SPACE = 4 << 30  # bytes; a larger allocation raises MemoryError, which is a finding


def begin(corpus: Path) -> None:
    """Write the initial corpus: a valid row of each format."""
    corpus.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(NAMES):
        (corpus / name).write_bytes(
            bytes([place]) + json.dumps(SAMPLES[name], ensure_ascii=False).encode() + b"\n"
        )


def main() -> None:
    corpus, *options = sys.argv[1:]
    begin(Path(corpus))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        write(Path(folder, "stories.jsonl"), [STORY])

        def one(data: bytes) -> None:
            path.write_bytes(data[1:])
            survives(FORMATS[NAMES[data[0] % len(NAMES)]] if data else FORMATS["own"], path)
            sniffed(path)

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        atheris.Setup([sys.argv[0], *options, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
