"""Whether DVC sees a change of a user's function: in scores/, own_tools/ or an installed package."""

import sysconfig
from pathlib import Path

# the folders that DVC watches: pipeline/code_paths.py
SCORES = "scores"
TOOLS = "own_tools"


def is_watched(file: Path, *folders: Path) -> bool:
    """Whether the file lies in one of `folders` or in an installed package."""
    installed = [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    return any(file.resolve().is_relative_to(folder.resolve()) for folder in (*folders, *installed))
