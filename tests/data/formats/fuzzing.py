"""What the fuzz tests share: damaged input, and the checks that every importer must pass on any input.

FUZZ_EXAMPLES=20000 runs longer than the few seconds that the tests take by default.
"""

import os
import time
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from alignloop.data import record_files
from alignloop.data.formats import FORMATS
from alignloop.data.formats.column_mapping import mapped_table
from alignloop.data.formats.importer import Changed, Format, ImportedRow, Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.data.input_files import DataError

SECONDS = 5.0  # of processor time, for a file of 1 MB with any content
MANY = 5000  # items of one source that are checked
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
TABLE = mapped_table("*", {"prompt": "instruction", "responses": ["input", "output"], "kind": "person"})
ANYTHING = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def survives(reader: Format, path: Path) -> list[ImportedRow]:
    """Import a source up to where it cannot be read further; check every record, reason and error on the way.

    Every record can be written and read again, and every refusal has a reason of reasonable length.
    """
    items: list[ImportedRow] = []
    message = str(path)
    began = time.process_time()
    try:
        for line, item in reader.read(path, path.name):
            if len(items) < MANY:
                items.append((line, item))
    except DataError as error:
        message = str(error)
    assert time.process_time() - began < SECONDS
    assert message.startswith((str(path), "ingest.columns"))
    for line, item in items:
        assert line >= 1
        if isinstance(item, Refused):
            assert 0 < len(item.reason) < 1000
            continue
        record = item.record if isinstance(item, Changed) else item
        assert type(record).model_validate_json(record_files.line_of(record), strict=True) == record
    return items


def sniffed(path: Path) -> None:
    """Guess the format of a source: a known one, or an error that names the source."""
    began = time.process_time()
    try:
        name = sniff(path)
    except DataError as error:
        name = str(error)
    assert time.process_time() - began < SECONDS
    assert name in FORMATS or name.startswith(str(path))


TOKENS = [
    b"\0",
    "\u2028".encode(),
    "\ufeff".encode(),
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"\n",
    b"\r",
    b'"',
    b"\\",
]
TOKENS += [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"null",
    b"true",
    b"9" * 30,
    b"[" * 2000,
    b'{"a":' * 500,
]
TOKENS += [
    b"\n\nHuman:",
    b"\n\nAssistant:",
    b"\\n\\nAssistant:",
    b" ### Assistant:",
    b"<<1=1>>",
    b"PAR1",
    b"\x1f\x8b",
    b" " * 600,
]
cuts = st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(TOKENS) | st.binary(max_size=6))


def damaged(content: bytes, damages: list[tuple[float, int, bytes]]) -> bytes:
    """Replace parts of the content, each by position, length and replacement."""
    for place, length, token in damages:
        at = int(place * len(content))
        content = content[:at] + token + content[at + length :]
    return content
