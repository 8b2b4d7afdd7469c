"""Copy the source files given to a run into the folder that `ingest` reads."""

import filecmp
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import replacing


class SourcesError(AlignloopError):
    """The given files cannot become the run's sources; nothing was changed."""


def target_names(paths: Sequence[Path], folder: Path, manifest: Path) -> Mapping[str, Path]:
    """Return the name that each file would get in the folder, without any change.

    A file keeps its own name; where two have the same, the name of the file's folder is put before it. Raises
    SourcesError for a file that does not exist, and where the folder has a file of that name that no run
    copied there.
    """
    for path in paths:
        if not path.is_file():
            fault = "is not a file" if path.exists() else "does not exist"
            raise SourcesError(f"{path}: {fault}; name the files to learn from")
    counts = Counter(path.name for path in paths)
    files = {
        path.name if counts[path.name] == 1 else f"{path.resolve().parent.name}-{path.name}": path
        for path in paths
    }
    if len(files) < len(paths):
        raise SourcesError(
            f"{', '.join(str(path) for path in paths)}: two files would get the same name; rename one"
        )
    copied = _read_manifest(manifest)
    for name, path in files.items():
        target = folder / name
        if target.exists() and name not in copied and not filecmp.cmp(path, target, shallow=False):
            raise SourcesError(
                f"{target}: is another file of that name, not copied there by a run; "
                "move it away or rename yours"
            )
    return files


def copy_sources(paths: Sequence[Path], folder: Path, manifest: Path) -> list[str]:
    """Replace the files in the folder that `manifest` lists with these; return their names (`target_names`).

    A file that no run copied there is never overwritten or removed.
    """
    files, copied = target_names(paths, folder, manifest), _read_manifest(manifest)
    # The manifest comes first, so that it lists the files of an interrupted copy.
    with replacing(manifest) as part:
        part.write_text(json.dumps(sorted({*copied, *files})), encoding="utf-8")
    for name, path in files.items():
        if not ((folder / name).exists() and filecmp.cmp(path, folder / name, shallow=False)):
            with replacing(folder / name) as part:
                shutil.copyfile(path, part)
    for name in set(copied) - set(files):
        (folder / name).unlink(missing_ok=True)
    with replacing(manifest) as part:
        part.write_text(json.dumps(sorted(files)), encoding="utf-8")
    return sorted(files)


def _read_manifest(manifest: Path) -> list[str]:
    return json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else []
