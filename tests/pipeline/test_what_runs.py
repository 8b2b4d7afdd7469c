"""What DVC runs when documents or a teacher's prompts change: it decides, on the stages of dvc.yaml."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from alignloop.pipeline.code_paths import is_code

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pipeline without its code: each stage writes the hash of its inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    subprocess.run(["git", "init", "-q"], check=True)
    params: dict[str, Any] = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["documents"] = {
        "main": {"folder": "documents", "licence": "MIT", "max_refused": 0, "embedding": None}
    }
    params["distill"] = {"big": {"plan": "plan.yaml", "prompts": "seeds.jsonl"}}
    params["rounds"] = {"r1": params["rounds"]["r1"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    pipeline: dict[str, Any] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
    made = set[str]()
    for name, stage in pipeline["stages"].items():
        body = stage.get("do", stage)
        body["deps"] = [dep for dep in body["deps"] if not is_code(dep)]
        outs = [
            out if isinstance(out, str) else next(iter(out))
            for key in ("outs", "metrics", "plots")
            for out in body.get(key, ())
        ]
        made |= set(outs)
        said = f"find {' '.join(body['deps'])} -type f | sort | xargs cat | cksum"
        body["cmd"] = f"echo {name} >> ran.log; {said} | tee {' '.join(outs)}"
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    for name in (
        "plan.yaml",
        "seeds.jsonl",
        "data/forgotten.txt",
        "documents/mill.txt",
        "data/sources/own.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "configs").mkdir()
    for name in ("principles.yaml", "rules.yaml", "red_team.jsonl"):
        (tmp_path / "configs" / name).touch()
    for body in (stage.get("do", stage) for stage in pipeline["stages"].values()):
        for dep in body["deps"]:  # what no stage makes and nobody has: an empty folder
            if "$" not in dep and dep not in made and not (tmp_path / dep).exists():
                (tmp_path / dep).mkdir(parents=True)
    Repo.init()
    with Repo() as repo:  # as after a run
        for out in (Path(out.fs_path) for stage in repo.index.stages for out in stage.outs):
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(out.name)
        repo.commit(force=True)
    return tmp_path


def ran(root: Path) -> list[str]:
    (root / "ran.log").unlink(missing_ok=True)
    with Repo() as repo:
        repo.reproduce()  # pyright: ignore[reportCallIssue]  # its decorator hides `self`
    return (root / "ran.log").read_text().split() if (root / "ran.log").exists() else []


def test_a_changed_document_makes_the_index_and_the_evaluation_anew_and_a_prompt_asks_the_teacher(root: Path):
    (root / "documents" / "mill.txt").write_text("The mill was built in 1741.")
    with Repo() as repo:
        assert list(repo.status()) == ["search_index@main"]
    # `release` reads the evaluation; nothing is sampled, labeled or trained
    assert ran(root) == ["search_index", "evaluate", "release"]
    (root / "seeds.jsonl").write_text("another prompt")
    with Repo() as repo:
        assert list(repo.status(["distill@big"])) == ["distill@big"]
