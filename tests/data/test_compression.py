"""Compressed files are read by their content; what is no text is named with what to do."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from alignloop.data.formats.sniffing import sniff
from alignloop.data.input_files import DataError, open_input
from tests.data.formats.samples import read_items

ROWS = b'{"prompt": "Hi?", "completion": "Hi!"}\n{"prompt": "Ho?", "completion": "Ho!"}\n'


def zipped(*contents: bytes, name: str = "rows.jsonl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in enumerate(contents):
            archive.writestr(name if not place else f"{place}-{name}", content)
        archive.writestr("__MACOSX/._rows.jsonl", b"\0")
    return file.getvalue()


def zstandard(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard,
    "zip": zipped,
}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_compressed_file_is_read_like_a_plain_one(tmp_path: Path, suffix: str, mark: bytes):
    (tmp_path / "rows.jsonl").write_bytes(ROWS)
    packed = tmp_path / f"rows.jsonl.{suffix}"
    packed.write_bytes(PACKERS[suffix](mark + ROWS))
    with open_input(packed) as file:
        assert file.read() == ROWS
    assert sniff(packed) == "trl"
    assert read_items(packed, "trl", "s") == read_items(tmp_path / "rows.jsonl", "trl", "s")


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_a_truncated_compressed_file_is_an_error_that_names_it(tmp_path: Path, suffix: str):
    path = tmp_path / f"rows.jsonl.{suffix}"
    path.write_bytes(PACKERS[suffix](ROWS * 900)[:-9])
    with pytest.raises(DataError, match=r"rows\.jsonl"), open_input(path) as file:
        file.read()


def test_the_name_of_a_table_or_text_in_an_archive_counts(tmp_path: Path):
    (tmp_path / "a.zip").write_bytes(zipped(b"instruction,output\nHi?,Hi!\n", name="rows.csv"))
    (tmp_path / "b.zip").write_bytes(zipped(b"A book.\n", name="book.txt"))
    assert sniff(tmp_path / "a.zip") == "alpaca"
    assert sniff(tmp_path / "b.zip") == "text"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(ROWS, ROWS), "is a ZIP archive of 2 files; unpack it here"),
        (
            zipped(ROWS, name="[Content_Types].xml"),
            "is an Excel workbook or another Office file; save it as CSV",
        ),
        (b"7z\xbc\xaf\x27\x1c....", "is a 7z archive"),
        (b"Rar!....", "is a RAR archive"),
        (b"%PDF-1.7", "is a PDF"),
        (b"\xd0\xcf\x11\xe0....", "is an old Excel workbook"),
        (b"\0" * 257 + b"ustar\0", "is a tar archive"),
        (gzip.compress(b"\0" * 257 + b"ustar\0"), "is a tar archive"),
        (gzip.compress(gzip.compress(ROWS)), "is packed twice"),
        (b"SQLite format 3\0", "is an SQLite database"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # compressed bytes hold the time
)
def test_what_is_no_text_is_named_with_what_to_do(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        sniff(tmp_path / "rows.jsonl")
    assert message in str(caught.value)
