"""Files that a run is given to learn from, copied to where `ingest` looks for them."""

import filecmp
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import replacing


class SourcesError(AlignloopError):
    """The files given cannot become the run's sources; nothing was changed."""


def named(paths: Sequence[Path], into: Path, ledger: Path) -> Mapping[str, Path]:
    """The name that each file would get in the folder: its own, or its folder's before it where two have the same. Changes nothing.

    Raises SourcesError for a file that is not there, and where somebody else's of that name is in the folder.
    """
    for path in paths:
        if not path.is_file():
            raise SourcesError(
                f"{path}: {'is no file' if path.exists() else 'does not exist'}; name the files to learn from"
            )
    common = Counter(path.name for path in paths)
    files = {
        path.name if common[path.name] == 1 else f"{path.resolve().parent.name}-{path.name}": path
        for path in paths
    }
    if len(files) < len(paths):
        raise SourcesError(
            f"{', '.join(str(path) for path in paths)}: two files would get the same name; rename one"
        )
    placed = _placed(ledger)
    for name, path in files.items():
        if (
            (into / name).exists()
            and name not in placed
            and not filecmp.cmp(path, into / name, shallow=False)
        ):
            raise SourcesError(
                f"{into / name}: is another file of that name, not put there by a run; move it away or rename yours"
            )
    return files


def place(paths: Sequence[Path], into: Path, ledger: Path) -> list[str]:
    """Copy files into the folder, in the place of those that `ledger` says were copied there last, and return their names (`named`).

    A file that somebody else put there is never overwritten or removed.
    """
    files, placed = named(paths, into, ledger), _placed(ledger)
    with replacing(ledger) as part:  # first, so that an interrupted copy is known as ours
        part.write_text(json.dumps(sorted({*placed, *files})), encoding="utf-8")
    for name, path in files.items():
        if not ((into / name).exists() and filecmp.cmp(path, into / name, shallow=False)):
            with replacing(into / name) as part:
                shutil.copyfile(path, part)
    for name in set(placed) - set(files):
        (into / name).unlink(missing_ok=True)
    with replacing(ledger) as part:
        part.write_text(json.dumps(sorted(files)), encoding="utf-8")
    return sorted(files)


def _placed(ledger: Path) -> list[str]:
    return json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else []
