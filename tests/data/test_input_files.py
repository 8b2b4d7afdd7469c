"""Sources that cannot be read to an end, or would be missed, are named together before anything is read."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from alignloop.data.input_files import DataError, check_folder, link_target


def faults(folder: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        check_folder(folder)
    return str(caught.value).splitlines()


def test_pipes_sockets_devices_and_links_that_lead_nowhere_are_all_named(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    os.mkfifo(tmp_path / "deep" / "pipe.jsonl")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
    named = faults(tmp_path)
    assert len(named) == 4
    assert all(any(str(tmp_path / name) in line for line in named) for name in ("deep/pipe.jsonl", "socket"))
    assert any("gone.jsonl: is a link to" in line and "does not exist" in line for line in named)
    assert any("zero.txt: is a pipe, a socket or a device" in line for line in named)


def test_a_link_to_a_folder_is_named_with_what_to_do(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "more.jsonl").write_text("{}")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "hh").symlink_to(tmp_path / "elsewhere")
    [line] = faults(tmp_path / "sources")
    assert "hh: is a link to a folder, which DVC does not follow" in line
    assert f"cp -rs {tmp_path / 'elsewhere'}" in line


def test_files_links_to_files_and_a_folder_that_is_a_link_itself_are_fine(tmp_path: Path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "a.txt").write_text("a")
    (tmp_path / "real" / "deep" / "b.txt").symlink_to(tmp_path / "real" / "a.txt")
    (tmp_path / "sources").symlink_to(tmp_path / "real")
    check_folder(tmp_path / "real")
    check_folder(tmp_path / "sources")
    check_folder(tmp_path / "real" / "a.txt")
    check_folder(tmp_path / "absent")


@pytest.mark.parametrize("kind", ["itself", "each other", "the folder above", "a folder further up"])
def test_links_in_a_circle_are_named_with_what_to_do(tmp_path: Path, kind: str):
    folder = tmp_path / "sources"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("a")
    link = folder / "deep" / "link"
    link.symlink_to({"itself": link, "each other": folder / "other", "the folder above": "."}.get(kind, ".."))
    if kind == "each other":
        (folder / "other").symlink_to(link)
    named = faults(folder)
    assert len(named) == 1 + (kind == "each other")
    assert all(
        "is a link that leads back to itself or to a folder above it; remove it: rm" in line for line in named
    )
    for line in named:
        Path(line.rpartition("rm ")[2]).unlink()
    check_folder(folder)


def test_the_remedy_for_a_linked_folder_makes_its_files_sources(tmp_path: Path):
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "disk" / "deep" / "more.jsonl").write_text("{}")
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "hh").symlink_to(tmp_path / "disk")
    [line] = faults(tmp_path / "sources")
    subprocess.run(line.rpartition("link its files: ")[2], shell=True, check=True)
    check_folder(tmp_path / "sources")
    read = tmp_path / "sources" / "hh" / "deep" / "more.jsonl"
    assert read.read_text() == "{}"
    assert link_target(read) == tmp_path / "disk" / "deep" / "more.jsonl"
    assert link_target(tmp_path / "disk" / "deep" / "more.jsonl") is None
