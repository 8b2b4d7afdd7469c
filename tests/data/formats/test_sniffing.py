"""The format of a source is guessed from its first row."""

import gzip
import json
from pathlib import Path

import pytest

from alignloop.data.formats.sniffing import glance, sniff
from alignloop.data.input_files import DataError
from tests.data.formats.samples import SAMPLES, write


def test_a_format_is_recognised_by_the_first_row_whatever_the_file_is_called(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(gzip.compress(json.dumps(SAMPLES["hh-rlhf"]).encode()))
    assert sniff(tmp_path / "a.txt") == "hh-rlhf"
    assert sniff(write(tmp_path / "b", [SAMPLES["open-assistant"]])) == "open-assistant"
    assert sniff(write(tmp_path / "c", [{"question": "?", "answer": "so\n#### 1"}])) == "gsm8k"
    (tmp_path / "d.txt").write_text("\n{ not JSON")
    assert sniff(tmp_path / "d.txt") == "text"


ROW = json.dumps(SAMPLES["hh-rlhf"])


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.txt.gz"])
@pytest.mark.parametrize(
    ("content", "format"),
    [
        ('"Well, Prince, so Genoa is a family estate."\n\nIt was July.\n', "text"),
        ('"Well, Prince."\n"Well?"\n', "text"),
        ('"Well, Prince."', "text"),
        ('{"text": "x"}\nis a line of a corpus.\n', "text"),
        ('{"text": "x"}\n\n \nis a line of a corpus.\n', "text"),
        ('{"text": "x"}\n```\n', "text"),
        ("", "text"),
        ('{"text": "x"}\n\n{"text": "y"}\n', "corpus"),
        ('{"text": "x"}\n\n', "corpus"),
        ('{"text": "x"}', "corpus"),
        (f"{ROW}\n{ROW}\n", "hh-rlhf"),
    ],
)
def test_a_txt_or_md_file_is_text_unless_its_first_two_lines_are_json(
    tmp_path: Path, name: str, content: str, format: str
):
    (tmp_path / name).write_bytes(
        gzip.compress(content.encode()) if name.endswith("gz") else content.encode()
    )
    assert sniff(tmp_path / name) == format
    descriptions = {
        "text": "the first row is a line of text",
        "corpus": "the first row is an object with 'text', which looks like corpus",
    }
    assert glance(tmp_path / name) == descriptions.get(
        format, "the first row is an object with 'chosen', 'rejected', which looks like hh-rlhf"
    )


UNKNOWN = {
    "an unknown object": (
        '{"question": "?", "answer": "no number"}',
        "f.jsonl:1: no known format: its first row is an object with 'question', 'answer'",
    ),
    "a bare number": ("7", "f.jsonl:1: no known format: its first row is a bare int"),
    "an empty object in an array": (
        "[\n  {}\n]",
        "f.jsonl:2: no known format: its first row is an empty object",
    ),
    "a broken line": (
        '{"chosen": "',
        "f.jsonl:1: no format can be recognised: broken JSON: Unterminated string starting at: "
        'it begins with \'{"chosen": "\'',
    ),
    "a table": (
        "id,text\n1,x",
        "f.jsonl:1: no format can be recognised: broken JSON: Expecting value: it begins with 'id,text\\n'",
    ),
    "a pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:1",
        "f.jsonl: is a Git LFS pointer",
    ),
    "nothing": ("", "f.jsonl: the file is empty; remove it, or fetch it again"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_file_of_unknown_format_is_an_error_that_describes_its_first_row(tmp_path: Path, name: str):
    content, message = UNKNOWN[name]
    (tmp_path / "f.jsonl").write_text(content)
    with pytest.raises(DataError) as caught:
        sniff(tmp_path / "f.jsonl")
    assert message in str(caught.value)
    if "format" in message:
        assert "name its format in ingest.formats" in str(caught.value)
