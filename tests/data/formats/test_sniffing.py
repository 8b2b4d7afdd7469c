"""The format of a source is guessed from its first row."""

import gzip
import json
from pathlib import Path

import pytest

from alignloop.data.formats.importer import Refused
from alignloop.data.formats.sniffing import glance, sniff
from alignloop.data.input_files import DataError
from tests.data.formats.samples import SAMPLES, read_items, write


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


CHAT = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi!"}]
LONG = "A sentence of some words. " * 40
DOUBTFUL = {  # rows that two formats read, each in another way
    "messages of a mixture": ({"id": "1", "messages": CHAT, "source": "flan"}, ("own", "trl")),
    "a long text of a corpus": ({"id": "1", "text": LONG, "source": "web"}, ("own", "corpus")),
    "a transcript with an id": (
        {"id": "1", "text": "### Human: Hi?### Assistant: Hi!", "source": "web"},
        ("own", "transcripts"),
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
@pytest.mark.parametrize("before", [0, 3])
def test_where_two_formats_would_read_a_row_differently_the_message_has_both_lines_to_write(
    tmp_path: Path, name: str, before: int
):
    row, formats = DOUBTFUL[name]
    plain = {"id": "0", "text": "Short.", "source": "web"}
    rows = [plain] * before + [row]
    if name != "a long text of a corpus" and before:
        return  # the first rows decide which formats match
    path = write(tmp_path / "deep" / "rows.jsonl", rows)
    with pytest.raises(DataError) as caught:
        sniff(path, "deep/rows.jsonl")
    for format in formats:
        assert f'ingest.formats: {{"deep/rows.jsonl": {format}}}' in str(caught.value)
        assert any(not isinstance(item, Refused) for item in read_items(path, format)), "the line leads on"


SAME = {  # rows that two formats match, of which only one reads them, or both alike
    "a short text": ({"id": "1", "text": "Short.", "source": "web"}, "own"),
    "metadata of a corpus": ({"id": "1", "text": LONG, "source": "web", "version": "1"}, "corpus"),
    "a demonstration with a user": ({"id": "1", "messages": CHAT, "user": "u", "source": "s"}, "trl"),
    "a dialogue of ours": ({"id": "1", "text": None, "messages": CHAT, "source": "s"}, "own"),
    "a pair of transcripts": (SAMPLES["hh-rlhf"], "hh-rlhf"),
}


@pytest.mark.parametrize("name", SAME)
def test_a_format_that_refuses_what_another_reads_or_reads_the_same_asks_nothing(tmp_path: Path, name: str):
    row, format = SAME[name]
    assert sniff(write(tmp_path / "rows.jsonl", [row])) == format


def test_a_row_with_one_field_too_many_is_described_with_the_format_that_would_read_the_rest(tmp_path: Path):
    row = {"prompt": "Hi?", "chosen": "a", "rejected": "b", "third": "c"}
    with pytest.raises(DataError) as caught:
        sniff(write(tmp_path / "rows.jsonl", [row]))
    assert "without 'third' it would be read as trl" in str(caught.value)
    assert 'ingest.columns: {"rows.jsonl": {prompt: COLUMN, answer: COLUMN}}' in str(caught.value)
