"""Repair of dvc.lock and of DVC's list of locks after a DVC process was killed while it wrote them.

Importing this module makes DVC write its YAML files atomically. What `dvc repro` alone, without this
module, left half-written is restored from the copy that every stage keeps.
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
from alignloop.pipeline.dvc_lock import load_yaml

BACKUP = Path(".cache", "dvc.lock")


def repair(repo: Any, root: Path) -> None:
    """Repair a half-written list of locks and a half-written dvc.lock."""
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
    lock, backup = root / "dvc.lock", root / BACKUP
    if lock.exists() and backup.exists() and not _is_complete(lock):
        with replacing(lock) as part:
            shutil.copyfile(backup, part)


def back_up_lock(root: Path) -> None:
    """Copy dvc.lock to .cache; call it from a stage, for DVC does not write dvc.lock while a stage runs."""
    if (root / "dvc.lock").exists():
        with replacing(root / BACKUP) as part:
            shutil.copyfile(root / "dvc.lock", part)


def _is_complete(lock: Path) -> bool:
    try:
        return "stages" in load_yaml(lock.read_text(encoding="utf-8"))
    except (OSError, TypeError, ValueError, yaml.YAMLError):
        return False


def _dump_atomically(
    path: str, data: Any, dumper: Callable[..., Any], fs: Any = None, **options: Any
) -> None:
    with replacing(Path(path)) as part, part.open("w", encoding="utf-8") as file:
        dumper(data, file, **options)


dvc.utils.serialize._common._dump_data = _dump_atomically
