"""A clean copy of this working tree, in which a benchmark or a test runs the project as users do."""

import os
import shutil
import subprocess
from pathlib import Path

from alignloop.files import write_json
from alignloop.pipeline import environment
from alignloop.release.champion import ALIASES
from alignloop.release.decision_log import STATE

PROJECT = Path(__file__).parents[1]
LEFT_BY_RUNS = ("dvc.lock", "metrics/", "releases/")  # what git holds of them
OURS = ("PREFECT", "MLFLOW", "DVC", "DATABASE_URL")


def copy(root: Path, *parts: str, project: Path = PROJECT) -> None:
    """Copy the files that git tracks or would track, without results of runs.

    `parts` restricts the copy to paths that begin with one of them.
    """
    command = ["git", "ls-files", "-zco", "--exclude-standard"]
    listed = subprocess.run(command, cwd=project, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, listed):
        if (
            (project / name).is_file()
            and not name.startswith(LEFT_BY_RUNS)
            and (not parts or name.startswith(parts))
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / name, root / name)
    write_json(root / STATE, dict.fromkeys(ALIASES))


def surroundings() -> dict[str, str]:
    """The environment variables without those of the project and its tools."""
    own = environment.configure()
    kept = {
        name: value for name, value in os.environ.items() if name not in own and not name.startswith(OURS)
    }
    return kept | {"PATH": os.environ["PATH"]}
