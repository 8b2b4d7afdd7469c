"""Documents of a folder, an index of their passages, and what the search finds in it."""

import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pypdf
import pytest
from pypdf import generic

from alignloop.commands.index import command
from alignloop.data.forgotten import ForgottenUsers
from alignloop.retrieval.citations import retrieved
from alignloop.retrieval.documents import LARGEST, Document, Refused, read_folder
from alignloop.retrieval.index import IndexProblem, build, opened, remove_user
from alignloop.tools.definition import ToolProblem
from alignloop.tools.search import search

PDF_TEXT = "BT /F1 12 Tf 10 100 Td (The lighthouse was lit in 1902.) Tj ET"


def pdf(path: Path, password: str = "", text: str = PDF_TEXT) -> None:
    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(200, 200)
    font = generic.DictionaryObject(
        {
            generic.NameObject("/Type"): generic.NameObject("/Font"),
            generic.NameObject("/Subtype"): generic.NameObject("/Type1"),
            generic.NameObject("/BaseFont"): generic.NameObject("/Helvetica"),
        }
    )
    fonts = generic.DictionaryObject({generic.NameObject("/F1"): font})
    page[generic.NameObject("/Resources")] = generic.DictionaryObject({generic.NameObject("/Font"): fonts})
    stream = generic.DecodedStreamObject()
    stream.set_data(text.encode())
    page[generic.NameObject("/Contents")] = stream
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    (folder / "deep").mkdir(parents=True)
    (folder / "mill.txt").write_text("The old mill was built in 1820.\n\nIts wheel is of oak.")
    (folder / "deep" / "fox.md").write_text("# Foxes of the valley #\n\nA fox sleeps by day.")
    (folder / "sea.html").write_text(
        "<html><title>The &amp; sea</title><style>p{}</style><script>alert('mill')</script>"
        "<p>The sea is full of salt.<p>Gulls <b>nest</b> there."
    )
    (folder / "utf16.txt").write_bytes("Zoë keeps bees.".encode("utf-16"))
    pdf(folder / "light.pdf")
    rows = [
        {"id": "tea", "title": "Tea", "text": "Tea is picked in spring.", "licence": "MIT", "user": "ada"},
        {"text": "Coffee grows on hills."},
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / ".hidden.txt").write_text("nobody reads this")
    return folder


def documents(folder: Path, forgotten: ForgottenUsers | None = None) -> dict[str, Document]:
    found = list(read_folder(folder, "CC0-1.0", forgotten))
    assert not [each for each in found if isinstance(each, Refused)]
    return {each.id: each for each in found if isinstance(each, Document)}


def test_documents_of_all_formats_are_read_with_title_licence_and_user(folder: Path):
    found = documents(folder)
    assert list(found) == [
        "deep/fox.md",
        "light.pdf",
        "mill.txt",
        "tea",
        "rows.jsonl:2",
        "sea.html",
        "utf16.txt",
    ]
    assert found["deep/fox.md"].title == "Foxes of the valley"
    assert found["sea.html"].title == "The & sea"
    assert " ".join(found["sea.html"].text.split()) == "The sea is full of salt. Gulls nest there."
    assert found["utf16.txt"].text == "Zoë keeps bees."
    assert "lit in 1902" in found["light.pdf"].text
    assert found["tea"] == Document("tea", "Tea", "Tea is picked in spring.", "MIT", "ada")
    assert found["rows.jsonl:2"].title == "Coffee grows on hills."
    assert found["rows.jsonl:2"].licence == "CC0-1.0"


def test_each_document_that_cannot_be_read_is_named_with_a_reason_and_nothing_is_half_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "search.sqlite"
    assert command([str(folder), "--licence", "cc0-1.0", "--out", str(out)]) == 0
    assert "7 documents in 7 passages" in capsys.readouterr().out
    before = out.read_bytes()
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of this kind")
    pdf(folder / "secret.pdf", password="x")
    pdf(folder / "scan.pdf", text="")
    (folder / "old.txt").write_bytes("Füchse".encode("cp1252"))
    (folder / "half.txt").write_bytes(b"\xff\xfeab\x00")
    (folder / "zero.txt").write_bytes(b"a\x00b")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "empty.md").touch()
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(LARGEST + 1)
    (folder / "bad.jsonl").write_text('{"text": 3}\nnot json\n{"text": "a b c", "title": 1}\n\n')
    (folder / "long.jsonl").touch()
    with pytest.raises(IndexProblem) as raised:
        command([str(folder), "--licence", "CC0-1.0", "--out", str(out)])
    counts = "1 binary, 4 broken, 3 empty, 2 encoding, 1 encrypted, 1 format, 1 huge"
    assert f"13 documents cannot be read ({counts})" in str(raised.value)
    told = capsys.readouterr().out.splitlines()
    for name, words in {
        "broken.pdf": "is no whole PDF",
        "secret.pdf": "is encrypted; save it without a password",
        "scan.pdf": "holds no text",
        "old.txt": "byte 1 is not UTF-8",
        "half.txt": "is not UTF-16",
        "zero.txt": "holds zero bytes",
        "picture.png": "has no known ending (.htm .html",
        "empty.md": "holds no text",
        "huge.txt": "has 50 MiB, at most 50 are read",
        "bad.jsonl:1": "has no `text`",
        "bad.jsonl:2": "is no JSON object",
        "bad.jsonl:3": "its `title` is no text",
        "long.jsonl": "holds no line",
    }.items():
        [line] = [line for line in told if f"{os.sep}{name}: " in line]
        assert words in line
    assert out.read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    args = [str(folder), "--licence", "CC0-1.0", "--out", str(out), "--max-refused", "13"]
    assert command(args) == 0
    last = capsys.readouterr().out
    assert "up to date" in last
    assert "left out: 1 binary, 4 broken" in last
    assert "licences   CC0-1.0 (6), MIT (1)" in last


def test_the_search_finds_the_best_passages_and_the_answer_of_a_changed_document(
    folder: Path, tmp_path: Path
):
    out = tmp_path / "search.sqlite"
    content = build(out, documents(folder).values())
    found = search("When was the old MILL built?", index=str(out), content=content)
    first = next(iter(retrieved([found]).values()))
    assert (first.document, first.licence) == ("mill.txt", "CC0-1.0")
    assert "built in 1820" in first.text
    assert "alert" not in search("alert", index=str(out))
    assert search("zoe", index=str(out)).endswith("Zoë keeps bees."), "accents do not matter"
    assert search("volcano", index=str(out)) == "nothing found"
    same = out.stat().st_mtime_ns
    assert build(out, documents(folder).values()) == content
    assert out.stat().st_mtime_ns == same, "an index of the same content is left as it is"
    (folder / "mill.txt").write_text("The old mill was built in 1822, as a new stone shows.")
    now = build(out, documents(folder).values())
    assert now != content
    answer = search("When was the old mill built?", index=str(out), content=now)
    assert "1822" in answer
    assert "1820" not in answer
    with pytest.raises(ToolProblem, match=r"is expected; state the present one in tools"):
        search("mill", index=str(out), content=content)


def test_a_query_cannot_break_the_search(folder: Path, tmp_path: Path):
    out = tmp_path / "search.sqlite"
    build(out, documents(folder).values())
    for query in ('mill" OR 1=1 --', "NEAR(mill wheel)", "title:mill*", "mill " * 90, "'); DROP TABLE words"):
        assert "mill" in search(query, index=str(out)).lower() or "nothing" in search(query, index=str(out))
    for query, words in {"?!": "no words", "": "no words", "a" * 501: "at most 500"}.items():
        with pytest.raises(ToolProblem, match=words):
            search(query, index=str(out))


def test_an_index_that_is_none_broken_or_of_another_version_is_named_with_the_remedy(
    folder: Path, tmp_path: Path
):
    out = tmp_path / "search.sqlite"
    with pytest.raises(IndexProblem, match="there is no such index; build it: `python -m alignloop index"):
        opened(out).__enter__()
    other = tmp_path / "other.txt"
    other.write_text("text")
    with pytest.raises(IndexProblem, match="is no index of passages; name another file, and build it"):
        opened(other).__enter__()
    build(out, documents(folder).values())
    database = sqlite3.connect(out)
    database.execute("UPDATE meta SET value = '0' WHERE key = 'version'")
    database.commit()
    database.close()
    with pytest.raises(IndexProblem, match="is of version 0, and 2 is read here; build it"):
        opened(out).__enter__()
    assert build(out, documents(folder).values()), "another version is replaced"
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ToolProblem, match=r"is broken|is no index"):
        search("mill", index=str(out))


def test_two_documents_of_one_id_and_no_document_at_all_are_refused(tmp_path: Path):
    out = tmp_path / "search.sqlite"
    one = Document("a", "A", "text", "MIT")
    with pytest.raises(IndexProblem, match="two documents are called 'a'"):
        build(out, [one, one])
    with pytest.raises(IndexProblem, match="no document"):
        build(out, [])
    assert not out.exists()


def test_forgotten_users_are_not_indexed_and_are_taken_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "search.sqlite"
    build(out, documents(folder).values())
    assert remove_user(out, {"ada"}) == 1
    assert remove_user(out, {"ada"}) == 0
    assert "picked" not in search("tea", index=str(out))
    assert b"picked in spring" not in out.read_bytes()
    taken_out = out.read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "forgotten.txt").touch()
    ForgottenUsers(tmp_path / "data" / "forgotten.txt").add("ada")
    assert command([str(folder), "--licence", "CC0-1.0", "--out", str(out)]) == 0
    assert "left out: 1 forgotten" in capsys.readouterr().out
    assert out.read_bytes() == taken_out, "as if the user had never been in it"
    build(out, [Document("a", "A", "text", "MIT", "ada")])
    assert remove_user(out, {"ada"}) == 1
    assert not out.exists()


def test_html_separates_words_at_all_that_is_no_part_of_a_line_and_an_open_tag_empties_no_page(folder: Path):
    page = (
        "<table><tr><td>1820</td><td>mill</td></tr></table><dl><dt>Lamp</dt><dd>brass</dd></dl>"
        "<article>one</article><article>two</article><blockquote>q</blockquote><footer>z</footer>"
        "<option>x<option>y</option><new-tag>n</new-tag>m<hr/>in<b>li</b>ne<br>end"
    )
    (folder / "sea.html").write_text(page)
    words = "1820 mill Lamp brass one two q z x y n m inline end"
    assert documents(folder)["sea.html"].text.split() == words.split()
    for page in (
        "<html><head><title>x</head><body>seen<script>evil()</script></body></html>",
        "<title>T</title><p>seen<svg><title>no</title></svg><svg>",
        "seen<noscript>no</noscript><template><noscript/>",
        "<svg/>seen",
    ):
        (folder / "sea.html").write_text(page)
        found = documents(folder)["sea.html"]
        assert "seen" in found.text
        assert "evil" not in found.text
        assert "no" not in found.text + found.title


def test_nothing_below_the_folder_is_left_out_without_a_word(folder: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "z.txt").write_text("not read")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.txt").symlink_to("nowhere")
    (folder / "file.txt").symlink_to(tmp_path / "elsewhere" / "z.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("a name in Latin 1")
    (folder / "blank.jsonl").write_text("\n \n")
    rows = [{"id": "\ud800", "text": "a"}, {"text": "b", "user": "\udc00"}, {"text": "c \ud800"}]
    rows += [{"text": "d", "licence": "my own words"}, {"text": "e", "licence": ""}]
    rows += [{"id": "mit", "text": "f", "licence": "mit"}]
    (folder / "more.jsonl").write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode("utf-16"))
    found = list(read_folder(folder, "CC0-1.0", None))
    assert {each.place: each.reason for each in found if isinstance(each, Refused)} == {
        "linked": "link",
        "loop": "link",
        "gone.txt": "link",
        "pipe.txt": "special",
        "caf\\xe9.txt": "name",
        "blank.jsonl": "empty",
        "more.jsonl:1": "broken",
        "more.jsonl:2": "broken",
        "more.jsonl:4": "licence",
        "more.jsonl:5": "licence",
    }
    read = {each.id: each for each in found if isinstance(each, Document)}
    assert read["mit"].licence == "MIT"
    assert {"more.jsonl:3", "file.txt"} < read.keys()
    build(tmp_path / "search.sqlite", read.values())


def test_a_folder_without_permission_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(place: str) -> Iterator[os.DirEntry[str]]:
        if str(place).endswith("deep"):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scandir(place)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, who may read everything
    [refused] = [each for each in read_folder(folder, "MIT", None) if isinstance(each, Refused)]
    words = "cannot be looked into (Permission denied); make it readable"
    assert refused == Refused("deep", "unreadable", words)
