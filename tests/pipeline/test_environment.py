"""The environment keeps all files in the project, keeps variables that are set, and is offline by default."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignloop.pipeline import environment


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (*environment.configure(), "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path


def test_every_path_is_in_the_project_and_this_python_comes_first_in_path(bare: Path) -> None:
    settings = environment.configure(bare)
    assert {name: os.environ[name] for name in settings} == settings
    places = [value for name, value in settings.items() if value.startswith("/") and name != "PATH"]
    assert places
    assert all(Path(place).is_relative_to(bare) for place in places)
    assert settings["PATH"] == f"{Path(sys.executable).parent}:/usr/bin:/bin"
    assert environment.configure(bare) == settings  # PATH does not grow


def test_variables_that_the_caller_has_set_are_kept(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    assert environment.configure(bare)["PREFECT_HOME"] == "/elsewhere"


def test_requests_to_a_server_that_may_be_restarted_are_retried_longer(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.configure(bare)["PREFECT_CLIENT_MAX_RETRIES"] == "3"
    monkeypatch.delenv("PREFECT_CLIENT_MAX_RETRIES")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    assert environment.configure(bare)["PREFECT_CLIENT_MAX_RETRIES"] == "8"


@pytest.mark.parametrize(
    ("params", "offline"),
    [
        ("base:\n", "1"),
        ("base: org/model\n", "0"),
        ("base: here\n", "1"),
        ("base: [\n", "1"),
        ("- 1\n", "1"),
        (None, "1"),
    ],
)
def test_the_hub_is_online_only_if_params_name_a_base_that_is_not_a_folder(
    bare: Path, params: str | None, offline: str
) -> None:
    (bare / "here").mkdir()
    if params is not None:
        (bare / "params.yaml").write_text(params)
    assert environment.configure(bare)["HF_HUB_OFFLINE"] == offline


def test_a_shell_can_evaluate_it() -> None:
    command = f'eval "$({sys.executable} -m alignloop.pipeline.environment)" && echo "$PREFECT_HOME"'
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    output = subprocess.run(
        ["/bin/sh", "-c", command], cwd=environment.ROOT, env=env, capture_output=True, text=True, check=True
    ).stdout
    assert output == f"{environment.ROOT}/.prefect\n"
