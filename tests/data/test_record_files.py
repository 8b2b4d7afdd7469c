"""Records are read back as they were written; faulty files are errors with place and remedy."""

import gzip
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignloop.data import record_files
from alignloop.data.input_files import DataError
from alignloop.records import Document, Prompt, Ranking

GOOD = '{"id":"d1","text":"The moon is made of rock.","messages":null,"source":"s"}\n'


def refusal(path: Path, content: bytes | str | None, kind: type = Document) -> str:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        record_files.read(path, kind)
    return str(caught.value)


def test_records_are_read_back_as_written_and_equal_sets_are_equal_bytes(tmp_path: Path):
    records = [
        Document(id="d1", text="a\u2028b\u0085c\r\x0bd 猫 <|end|>", source="s"),
        Document(id="d2", text="x", source="s"),
    ]
    assert record_files.write(tmp_path / "a.jsonl", records) == 2
    record_files.write(tmp_path / "b.jsonl", iter(records))
    assert record_files.read(tmp_path / "a.jsonl", Document) == records
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert '"text":"a\u2028b'.encode() in (tmp_path / "a.jsonl").read_bytes(), "raw UTF-8, no ASCII escapes"
    assert b'"messages":null' in (tmp_path / "a.jsonl").read_bytes(), "fields of no value are kept"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_text_survives_a_round_trip(tmp_path_factory: pytest.TempPathFactory, texts: list[str]):
    path = tmp_path_factory.mktemp("any") / "set.jsonl"
    records = [Document(id=str(place), text="." + text, source="s") for place, text in enumerate(texts)]
    record_files.write(path, records)
    assert record_files.read(path, Document, allow_empty=True) == records


def test_lines_are_numbered_from_one_and_gzip_is_recognised_by_content(tmp_path: Path):
    (tmp_path / "set.jsonl").write_bytes(gzip.compress((GOOD + GOOD.replace("d1", "d2")).encode()))
    assert [
        (line, record.id) for line, record in record_files.read_lines(tmp_path / "set.jsonl", Document)
    ] == [(1, "d1"), (2, "d2")]


def test_a_directory_is_read_file_by_file_in_order_of_name(tmp_path: Path):
    for name in ("r1", "imported"):
        record_files.write(tmp_path / f"{name}.jsonl", [Document(id=name, text="x", source="s")])
    assert [record.id for record in record_files.read(tmp_path, Document)] == ["imported", "r1"]


def test_a_missing_file_is_an_error_with_the_remedy(tmp_path: Path):
    message = refusal(tmp_path / "gone.jsonl", None)
    assert "gone.jsonl: no such file" in message
    assert "dvc pull" in message


@pytest.mark.parametrize("name", ["set.jsonl", "set.jsonl.gz"])
def test_a_git_lfs_pointer_is_recognised_whatever_the_file_is_called(tmp_path: Path, name: str):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    message = refusal(tmp_path / name, pointer)
    assert f"{name}: is a Git LFS pointer" in message
    assert "git lfs pull" in message


@pytest.mark.parametrize("cut", [5, 40, 700])
def test_truncated_gzip_is_an_error_wherever_it_ends(tmp_path: Path, cut: int):
    noise = "".join(random.Random(1).choices("abcdefghij", k=3000))
    whole = gzip.compress((GOOD * 3 + GOOD.replace("rock", noise)).encode())
    message = refusal(tmp_path / "set.jsonl.gz", whole[:cut])
    assert "set.jsonl.gz: the gzip stream is truncated" in message
    assert "fetch the file again" in message


def test_a_file_called_gz_must_be_gzip(tmp_path: Path):
    assert "called .gz but is not gzip; rename it" in refusal(tmp_path / "set.jsonl.gz", GOOD)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"id":"d2","text":"cut of', "set.jsonl:2: broken JSON at column 19"),
        ("{'id': 1}", "set.jsonl:2: broken JSON at column 2"),
        ("", "set.jsonl:2: the line is empty; remove it"),
        ('{"id":"a","id":"b","text":"x","source":"s"}', "set.jsonl:2: id: the key occurs twice"),
        (
            '{"id":"a","text":"x","source":"s","messages":[{"role":"user","role":"user","content":"x"}]}',
            "set.jsonl:2: role: the key occurs twice",
        ),
        ('{"id":"a","text":NaN,"source":"s"}', "set.jsonl:2: NaN is not JSON"),
        ('{"id":"a","text":-Infinity,"source":"s"}', "set.jsonl:2: -Infinity is not JSON"),
        ('{"id":1e999,"text":"x","source":"s"}', "set.jsonl:2: 1e999 is too large for a number"),
        ('{"id":' + "1" * 5000 + ',"text":"x"}', "set.jsonl:2: a number of 5,000 digits"),
        ('{"id":"a","text":true,"source":"s"}', "set.jsonl:2: text: Input should be a valid string"),
        ('{"id":"a","text":" \\n ","source":"s"}', "set.jsonl:2: text: String should match pattern"),
        ('{"id":"a","text":"x","source":"s","note":1}', "set.jsonl:2: note: Extra inputs are not permitted"),
        ('{"id":"a","source":"s"}', "set.jsonl:2: Document: a document has either `text` or `messages`"),
        ('{"text":"x","source":"s"}', "set.jsonl:2: id: Field required"),
        ("[1]", "set.jsonl:2: Document: Input should be an object"),
        ("[" * 100_000, "set.jsonl:2: JSON nested too deeply"),
    ],
)
def test_an_invalid_line_is_an_error_with_file_line_and_field(tmp_path: Path, line: str, error: str):
    message = refusal(tmp_path / "set.jsonl", GOOD + line + "\n" + GOOD)
    assert error in message
    assert any(remedy in message for remedy in ("correct the line", "remove it", "keep one", "write a"))


def test_a_duplicate_key_among_very_many_is_found_quickly(tmp_path: Path):
    keys = ",".join(f'"k{number}":1' for number in range(60_000))
    assert "k59999: the key occurs twice" in refusal(tmp_path / "set.jsonl", "{" + keys + ',"k59999":2}\n')


def test_ranks_must_be_whole_numbers_not_booleans_or_strings(tmp_path: Path):
    prompt = '{"id":"p","messages":[{"role":"user","content":"Hi?"}],"user":"u","source":"s"}'
    line = (
        '{"id":"r","prompt":%s,"responses":["a","b"],"ranks":[%s],'
        '"labeler":"l","kind":"person","policy":"p","round":"r1"}\n'
    )
    path = tmp_path / "r.jsonl"
    for wrong in ("true,2", '"1",2', "1.5,2"):
        assert "r.jsonl:1: ranks." in refusal(path, line % (prompt, wrong), Ranking)
    assert "without gaps" in refusal(path, line % (prompt, "1,3"), Ranking)
    path.write_text(line % (prompt, "1,1"))
    assert record_files.read(path, Ranking)[0].ranks == (1, 1)


def test_bytes_that_are_not_utf8_are_errors_and_a_byte_order_mark_is_none(tmp_path: Path):
    latin = b'{"id":"d2","text":"caf' + b"\xe9" + b'","source":"s"}\n'
    message = refusal(tmp_path / "set.jsonl", GOOD.encode() + latin)
    assert "set.jsonl:2: byte 23 of the line is not UTF-8" in message
    assert "iconv" in message
    (tmp_path / "set.jsonl").write_text("\ufeff" + GOOD, encoding="utf-8")
    assert len(record_files.read(tmp_path / "set.jsonl", Document)) == 1


def test_an_empty_set_is_an_error_unless_it_may_be_empty(tmp_path: Path):
    assert "set.jsonl: holds no prompt" in refusal(tmp_path / "set.jsonl", "", Prompt)
    assert record_files.read(tmp_path / "set.jsonl", Prompt, allow_empty=True) == []
    (tmp_path / "set.jsonl").unlink()
    assert f"{tmp_path.name}: the directory holds no .jsonl file" in refusal(tmp_path, None)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "set.jsonl"
    record_files.write(path, [Document(id="old", text="x", source="s")])

    def broken():
        yield Document(id="new", text="x", source="s")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_files.write(path, broken())
    assert [record.id for record in record_files.read(path, Document)] == ["old"]
    assert [each.name for each in tmp_path.iterdir()] == ["set.jsonl"]


def test_a_full_disk_is_one_error_and_loses_nothing(tmp_path: Path):
    path = tmp_path / "set.jsonl"
    record_files.write(path, [Document(id="old", text="x", source="s")])
    program = """
import sys; from pathlib import Path
from alignloop.errors import AlignloopError
from alignloop.data import record_files
from alignloop.records import Document
try:
    records = (Document(id=str(i), text="x" * 1000, source="s") for i in range(1000))
    record_files.write(Path(sys.argv[1]), records)
except AlignloopError as error:
    print(error)
"""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "set.jsonl: cannot be written" in done.stdout
    assert "free some space" in done.stdout
    assert [record.id for record in record_files.read(path, Document)] == ["old"]
    assert [each.name for each in tmp_path.iterdir()] == ["set.jsonl"]
