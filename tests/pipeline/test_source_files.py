"""Files given to a run replace those given to the last one, and no others."""

from pathlib import Path

import pytest

from alignloop.pipeline.source_files import SourcesError, copy_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / ".gitkeep").touch()
    return tmp_path / "sources"


def give(folder: Path, *files: str) -> list[str]:
    for file in files:
        (folder.parent / file).parent.mkdir(exist_ok=True)
        (folder.parent / file).write_text(file)
    return copy_sources([folder.parent / file for file in files], folder, folder.parent / "manifest.json")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_run_replaces_the_files_of_the_last_one(folder: Path) -> None:
    assert give(folder, "a.txt", "b.txt") == ["a.txt", "b.txt"]
    assert give(folder, "b.txt", "c.txt") == ["b.txt", "c.txt"]
    assert names(folder) == [".gitkeep", "b.txt", "c.txt"]
    assert (folder / "c.txt").read_text() == "c.txt"


def test_files_of_the_same_name_get_their_folders_name(folder: Path) -> None:
    assert give(folder, "helpful/train.gz", "harmless/train.gz", "x.txt") == [
        "harmless-train.gz",
        "helpful-train.gz",
        "x.txt",
    ]


def test_a_file_put_there_by_hand_is_kept(folder: Path) -> None:
    (folder / "own.txt").write_text("mine")
    give(folder, "a.txt")
    with pytest.raises(SourcesError, match=r"own\.txt: is another file of that name"):
        give(folder, "own.txt")
    assert (folder / "own.txt").read_text() == "mine"
    assert names(folder) == [".gitkeep", "a.txt", "own.txt"]


def test_a_missing_file_stops_everything(folder: Path) -> None:
    give(folder, "a.txt")
    with pytest.raises(SourcesError, match=r"nowhere\.txt: does not exist"):
        copy_sources(
            [folder.parent / "a.txt", folder.parent / "nowhere.txt"], folder, folder.parent / "manifest.json"
        )
    with pytest.raises(SourcesError, match="is not a file"):
        copy_sources([folder.parent], folder, folder.parent / "manifest.json")
    assert names(folder) == [".gitkeep", "a.txt"]
