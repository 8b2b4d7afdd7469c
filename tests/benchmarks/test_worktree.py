"""A copy of the working tree contains no results of runs."""

import subprocess
from pathlib import Path

from benchmarks import worktree


def test_results_of_runs_are_not_copied(tmp_path: Path):
    project, root = tmp_path / "project", tmp_path / "copy"
    for name in (
        "dvc.yaml",
        "dvc.lock",
        "metrics/sft.json",
        "releases/audit.jsonl",
        "alignloop/new.py",
        "models/sft/config.json",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / "releases/champion.json").write_text('{"champion": "68e5a11f.dir", "previous": null}')
    (project / ".gitignore").write_text("/models\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run(["git", "add", "dvc.yaml", "dvc.lock", "releases"], cwd=project, check=True)
    worktree.copy(root, project=project)
    copied = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert copied == {".gitignore", "dvc.yaml", "alignloop/new.py", "releases/champion.json"}
    assert (
        root / "releases/champion.json"
    ).read_text() == '{\n  "champion": null,\n  "previous": null\n}\n', "as in an empty clone"
