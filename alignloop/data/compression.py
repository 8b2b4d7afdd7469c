"""Unpacks compressed files by their content, and names files that are no text at all."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, cast

GZIP = b"\x1f\x8b"
BZIP2 = b"BZh"
XZ = b"\xfd7zXZ\0"
ZSTD = b"\x28\xb5\x2f\xfd"
ZIP = b"PK\x03\x04"
NAMES = {GZIP: "gzip", BZIP2: "bzip2", XZ: "xz", ZSTD: "Zstandard", ZIP: "ZIP"}
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
LOOKED_AT = 300  # bytes of the beginning
TAR = 257  # where a tar archive says what it is
KINDS = {  # what begins like this is no text
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"\x04\x22\x4d\x18": "compressed with LZ4; unpack it with `lz4 -d`",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook or another Office file; save it as CSV UTF-8",
    b"%PDF": "a PDF; save its text as .txt",
    b"ARROW1": "an Arrow file; save it as Parquet",
    b"\xff\xff\xff\xff": "an Arrow stream; save it as Parquet",
    b"FEA1": "a Feather file; save it as Parquet",
    b"ORC": "an ORC file; save it as Parquet",
    b"Obj\x01": "an Avro file; save it as Parquet or JSON Lines",
    b"\x93NUMPY": "an array of NumPy; save its texts as JSON Lines",
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a pickle; save it as JSON Lines"),
    b"\x1f\x9d": "compressed with compress; unpack it with `gzip -d`",
    b"\xff\x06\x00\x00sNaPpY": "compressed with Snappy; unpack it",
    b"{\\rtf": "an RTF document; save it as plain text",
    b"SQLite format 3": "an SQLite database; export its table as CSV",
    b"\x89HDF": "an HDF5 file; save it as Parquet",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    **{magic: f"packed twice, inside with {name}; unpack it once" for magic, name in NAMES.items()},
}


class NotOneFile(Exception):
    """An archive that is not one file of data; the message says what it is and what to do."""


def unpacked(file: IO[bytes], start: bytes) -> IO[bytes]:
    """The content of a file that begins with `start`; the file itself if it is not packed."""
    if start.startswith(GZIP):
        stream: Any = gzip.GzipFile(fileobj=file)
    elif start.startswith(BZIP2):
        stream = bz2.BZ2File(file)
    elif start.startswith(XZ):
        stream = lzma.LZMAFile(file)  # noqa: SIM115  the caller closes the file in it
    elif start.startswith(ZSTD):
        import pyarrow

        stream = io.BufferedReader(cast("Any", pyarrow.CompressedInputStream(file, "zstd")))
    elif start.startswith(ZIP):
        stream = _member(file)
    else:
        stream = file
    return stream


def kind_of(start: bytes) -> str | None:
    """What a file is that begins like this, with the remedy, if it is no text."""
    if start[TAR : TAR + 5] == b"ustar":
        return "a tar archive; unpack it"
    return next((kind for magic, kind in KINDS.items() if start.startswith(magic)), None)


def name_of(path: Path) -> str:
    """What a file is packed with."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((name for magic, name in NAMES.items() if start.startswith(magic)), "compressed")


def suffixes(path: Path) -> set[str]:
    """The extensions of a file's name, and of the name of the one file in a ZIP archive."""
    found = {suffix.lower() for suffix in path.suffixes}
    if ".zip" in found and path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found |= {suffix.lower() for name in _data_names(archive) for suffix in Path(name).suffixes}
    return found


def _member(file: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(file)
    if "META-INF/manifest.xml" in archive.namelist():
        raise NotOneFile("is an OpenDocument table or text; save it as CSV or plain text")
    if "[Content_Types].xml" in archive.namelist():
        raise NotOneFile("is an Excel workbook or another Office file; save it as CSV UTF-8")
    names = _data_names(archive)
    if len(names) != 1:
        raise NotOneFile(f"is a ZIP archive of {len(names)} files; unpack it here")
    if archive.getinfo(names[0]).flag_bits & 1:
        raise NotOneFile("is a ZIP archive with a password; unpack it here")
    return archive.open(names[0])


def _data_names(archive: zipfile.ZipFile) -> list[str]:
    return [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
