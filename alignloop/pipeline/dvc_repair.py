"""DVC writes dvc.lock and its list of locks in place, and may be killed meanwhile.

Imported here, it writes YAML whole or not at all; what `dvc repro` alone left in halves is mended from the copy that each stage keeps.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dvc.utils.serialize._common
import yaml
from dvc.lock import make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

from alignloop.files import replacing
from alignloop.pipeline.dvc_lock import parsed

LAST_WHOLE = Path(".cache", "dvc.lock")


def mend(repo: Any, root: Path) -> None:
    """Put in order what a DVC that was killed while it wrote left behind: its list of locks, and dvc.lock."""
    tmp = Path(repo.tmp_dir)
    guard = make_lock(
        str(tmp / RWLOCK_LOCK),
        tmp_dir=str(tmp),
        hardlink_lock=repo.config["core"].get("hardlink_lock", False),
    )
    with guard, suppress(FileNotFoundError):
        try:
            json.loads((tmp / RWLOCK_FILE).read_text(encoding="utf-8"))
        except ValueError:
            (tmp / RWLOCK_FILE).unlink()
    lock, whole = root / "dvc.lock", root / LAST_WHOLE
    if lock.exists() and whole.exists() and not _is_whole(lock):
        with replacing(lock) as part:
            shutil.copyfile(whole, part)


def keep_lock(root: Path) -> None:
    """Keep a copy of dvc.lock, which DVC does not write while a stage runs."""
    if (root / "dvc.lock").exists():
        with replacing(root / LAST_WHOLE) as part:
            shutil.copyfile(root / "dvc.lock", part)


def _is_whole(lock: Path) -> bool:
    try:
        return "stages" in parsed(lock.read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError, yaml.YAMLError):
        return False


def _dump_whole(path: str, data: Any, dumper: Callable[..., Any], fs: Any = None, **more: Any) -> None:
    with replacing(Path(path)) as part, part.open("w", encoding="utf-8") as file:
        dumper(data, file, **more)


dvc.utils.serialize._common._dump_data = _dump_whole
