"""`make deps`: writes the code that each stage imports into its `deps` in dvc.yaml, below its data.

DVC does not see imports. A module that is missing in `deps` leaves a stage unrun after a change, and one too
many runs it for nothing. A folder stands for its files where the stage imports all of them.
"""

import io
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import grimp
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from alignloop.files import replacing
from alignloop.params.rounds import By
from alignloop.pipeline.code_paths import CODE, SCORES, TOOLS, is_code

METHODS: tuple[str, ...] = get_args(By)
BY = "${item.by}"  # in a command: the method of the round, which is the function that runs
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
        data = [dep for dep in body["deps"] if not is_code(dep) or dep in (SCORES, TOOLS)]
        code = _of_methods(root, graph) if function == BY else imported(root, function, graph)
        deps = CommentedSeq([*data, *code])
        if list(body["deps"]) != list(deps):
            body["deps"] = deps
            if not deps:
                raise ValueError(f"dvc.yaml: stage {name} has no deps")
    text = io.StringIO()
    editor.dump(tree, text)
    return text.getvalue()


def _of_methods(root: Path, graph: grimp.ImportGraph) -> list[str]:
    """The code of a stage that runs a round's method: `params/${item.by}.py` and the like, others by name.

    So a round by PPO depends on `params/ppo.py` and a round by DPO on `params/dpo.py`, neither on both. A
    file of one method alone that has no counterpart in all others is a dependency of all rounds.
    """
    code = {method: set(imported(root, method, graph)) for method in METHODS}

    def is_of(file: str, method: str) -> bool:
        """Whether this method imports the file, and no other one."""
        return [each for each in METHODS if file in code[each]] == [method]

    named: set[str] = set()
    for method, files in code.items():
        for file in (each for each in files if method in Path(each).stem):
            pattern = Path(file).with_name(Path(file).name.replace(method, BY)).as_posix()
            if all(is_of(pattern.replace(BY, each), each) for each in METHODS):
                named.add(pattern)
    own = {pattern.replace(BY, method) for pattern in named for method in METHODS}
    return sorted({*named, *(file for files in code.values() for file in files - own)})


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
