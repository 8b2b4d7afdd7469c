"""`make deps`: writes the code that each stage imports into its `deps` in dvc.yaml, below its data.

DVC does not see imports. A module that is missing in `deps` leaves a stage unrun after a change, and one too
many runs it for nothing. A folder stands for its files where the stage imports all of them.
"""

import io
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grimp
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from alignloop.files import replacing
from alignloop.pipeline.code_paths import CODE, SCORES, is_code

# messages for people: no result depends on them
NO_RESULT = {"alignloop/errors.py", "alignloop/phases.py", "alignloop/progress.py"}


def imported(root: Path, stage: str, graph: grimp.ImportGraph) -> list[str]:
    """The files and folders of code that a stage's function imports, directly or not, by name."""
    module = f"{CODE}.stages.{stage}"
    files = {_file(root, name) for name in {module, *graph.find_upstream_modules(module)}}
    wanted = {file for file in files if _counts(root, file)}
    return sorted(_folded(root, Path(CODE), wanted))


def written(root: Path) -> str:
    """dvc.yaml as it should be: the code of every stage from what it imports, everything else as it is."""
    editor = YAML()
    editor.width, editor.preserve_quotes = 4096, True
    editor.indent(mapping=2, sequence=4, offset=2)
    tree = editor.load((root / "dvc.yaml").read_text(encoding="utf-8"))
    graph = grimp.build_graph(CODE, cache_dir=None)
    for name, stage in tree["stages"].items():
        body: Any = stage.get("do", stage)
        function = shlex.split(body["cmd"])[3]
        data = [dep for dep in body["deps"] if not is_code(dep) or dep == SCORES]
        deps = CommentedSeq([*data, *imported(root, function, graph)])
        if list(body["deps"]) != list(deps):
            body["deps"] = deps
            if not deps:
                raise ValueError(f"dvc.yaml: stage {name} has no deps")
    text = io.StringIO()
    editor.dump(tree, text)
    return text.getvalue()


def _file(root: Path, module: str) -> Path:
    path = Path(*module.split("."))
    file = path.with_suffix(".py")
    return file if (root / file).exists() else path / "__init__.py"


def _counts(root: Path, file: Path) -> bool:
    return file.as_posix() not in NO_RESULT and bool((root / file).read_text(encoding="utf-8").strip())


def _folded(root: Path, folder: Path, wanted: set[Path]) -> Iterable[str]:
    """The wanted files below a folder, a folder in place of its files where all of them are wanted."""
    inside = [file.relative_to(root) for file in (root / folder).rglob("*.py")]
    files = {file for file in inside if _counts(root, file)}
    if len(files) > 1 and files <= wanted:
        yield folder.as_posix()
        return
    for part in sorted({Path(*file.parts[: len(folder.parts) + 1]) for file in files & wanted}):
        if (root / part).is_dir():
            yield from _folded(root, part, wanted)
        else:
            yield part.as_posix()


def main() -> int:
    """Write dvc.yaml if it is stale, and say so."""
    root = Path.cwd()
    text = written(root)
    if text == (root / "dvc.yaml").read_text(encoding="utf-8"):
        print("dvc.yaml: the code in deps is what the stages import")
        return 0
    with replacing(root / "dvc.yaml") as part:
        part.write_text(text, encoding="utf-8")
    print("dvc.yaml: deps written; look at `git diff dvc.yaml` and commit it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
