"""Sources that cannot be read to an end, or would be missed, are named together before anything is read."""

import os
import socket
from pathlib import Path

import pytest

from alignloop.data.input_files import DataError, check_folder


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
