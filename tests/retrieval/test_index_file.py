"""The file of an index: what it replaces, and what is done where it is damaged."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from alignloop.commands.index import command
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import IndexProblem, build, opened

DOCUMENTS = [Document(f"d{n}", "Mills", f"The mill{n} was built. " * 60, "MIT", "ada") for n in range(40)]


def changed(statement: str) -> Callable[[Path], object]:
    """A change of the database in place."""

    def change(path: Path) -> None:
        database = sqlite3.connect(path)
        database.executescript(statement)
        database.close()

    return change


def zeroed(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3 : len(raw) // 3 * 2] = bytes(len(raw) // 3)
    path.write_bytes(raw)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a header alone": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "zeros": zeroed,
    "no content": changed("DELETE FROM meta WHERE key = 'content'"),
    "no version": changed("DELETE FROM meta WHERE key = 'version'"),
    "a count that is none": changed("UPDATE meta SET value = 'many' WHERE key = 'documents'"),
    "another count": changed("UPDATE meta SET value = '9' WHERE key = 'passages'"),
    "no meta": changed("DROP TABLE meta"),
    "no words": changed("DROP TABLE words"),
    "no documents": changed("DROP TABLE documents"),
    "a word less": changed("DELETE FROM words WHERE rowid = 3"),
    "words that their table does not know": changed("UPDATE words_content SET c1 = 'x' WHERE id = 3"),
    "another passage": changed("UPDATE passages SET text = 'x' WHERE number = 3"),
    "another document": changed("UPDATE documents SET text = 'x' WHERE id = 'd3'"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_building_again_mends_a_damaged_index_and_reading_it_says_so(damage: str, tmp_path: Path):
    out = tmp_path / "search.sqlite"
    content = build(out, DOCUMENTS)
    whole = out.read_bytes()
    DAMAGES[damage](out)
    try:
        with opened(out) as index:
            index.search("mill3", 3)
    except IndexProblem as error:
        assert "build it: `python -m alignloop index" in str(error)  # noqa: PT017
    assert build(out, DOCUMENTS) == content
    assert out.read_bytes() == whole


def test_only_an_index_is_replaced_and_nothing_is_read_for_another_file(tmp_path: Path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "mill.txt").write_text("The mill was built in 1820.")
    (folder / "broken.xls").touch()  # would be named, if the folder were read
    (tmp_path / "precious.txt").write_text("my only copy")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("nowhere")
    changed("CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('version', '1')")(tmp_path / "db")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("documents", "precious.txt", "empty", "link", "db", "documents/mill.txt"):
        words = f"{name}: is a.*no index of passages; move it away, or name another place"
        with pytest.raises(IndexProblem, match=words):
            command([str(folder), "--licence", "MIT", "--out", str(tmp_path / name)])
        with pytest.raises(IndexProblem, match=words):
            build(tmp_path / name, DOCUMENTS)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("most", ["-1", "x", "2.5"])
def test_the_number_that_may_be_left_out_is_a_whole_one(
    most: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        command([str(tmp_path), "--licence", "MIT", "--max-refused", most])
    assert "is no whole number of 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("most", [0, -1, 2.5, None, True, "3"])
def test_a_number_of_passages_that_is_none_is_named(most: int, tmp_path: Path):
    out = tmp_path / "search.sqlite"
    build(out, DOCUMENTS)
    with opened(out) as index, pytest.raises(IndexProblem, match="must be a whole number of at least 1"):
        index.search("mill3", most)
