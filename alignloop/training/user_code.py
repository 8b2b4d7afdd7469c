"""Whether DVC sees a change of a user's function: one in scores/, or in an installed package."""

import sysconfig
from pathlib import Path

SCORES = "scores"  # the folder that DVC watches: pipeline/code_paths.py


def is_watched(file: Path, root: Path, *folders: Path) -> bool:
    """Whether the file lies in scores/, in one of `folders` or in an installed package."""
    installed = [Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")]
    known = (root / SCORES, *folders, *installed)
    return any(file.resolve().is_relative_to(folder.resolve()) for folder in known)
