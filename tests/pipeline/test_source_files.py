"""Files given to a run take the place of those given to the last one, and of nothing else."""

from pathlib import Path

import pytest

from alignloop.pipeline.source_files import SourcesError, place


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / ".gitkeep").touch()
    return tmp_path / "sources"


def give(into: Path, *files: str) -> list[str]:
    for file in files:
        (into.parent / file).parent.mkdir(exist_ok=True)
        (into.parent / file).write_text(file)
    return place([into.parent / file for file in files], into, into.parent / "ledger.json")


def names(into: Path) -> list[str]:
    return sorted(path.name for path in into.iterdir())


def test_each_run_replaces_what_the_last_one_put_there(into: Path) -> None:
    assert give(into, "a.txt", "b.txt") == ["a.txt", "b.txt"]
    assert give(into, "b.txt", "c.txt") == ["b.txt", "c.txt"]
    assert names(into) == [".gitkeep", "b.txt", "c.txt"]
    assert (into / "c.txt").read_text() == "c.txt"


def test_files_of_one_name_are_told_apart_by_their_folder(into: Path) -> None:
    assert give(into, "helpful/train.gz", "harmless/train.gz", "x.txt") == [
        "harmless-train.gz",
        "helpful-train.gz",
        "x.txt",
    ]


def test_what_somebody_put_there_is_kept(into: Path) -> None:
    (into / "own.txt").write_text("mine")
    give(into, "a.txt")
    with pytest.raises(SourcesError, match=r"own\.txt: is another file of that name"):
        give(into, "own.txt")
    assert (into / "own.txt").read_text() == "mine"
    assert names(into) == [".gitkeep", "a.txt", "own.txt"]


def test_a_file_that_is_not_there_stops_everything(into: Path) -> None:
    give(into, "a.txt")
    with pytest.raises(SourcesError, match=r"nowhere\.txt: does not exist"):
        place([into.parent / "a.txt", into.parent / "nowhere.txt"], into, into.parent / "ledger.json")
    with pytest.raises(SourcesError, match="is no file"):
        place([into.parent], into, into.parent / "ledger.json")
    assert names(into) == [".gitkeep", "a.txt"]
