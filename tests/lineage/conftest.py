"""A project with two versions of its data, made by real stages under DVC, and models trained on the first."""

import gzip
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.pipeline import dvc_pipeline
from alignloop.tracking import registry

PROJECT = Path(__file__).parents[2]
STAGES = ("ingest", "prepare")
USERS = 24
Row = dict[str, Any]


def git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def messages(*contents: str) -> list[Row]:
    return [
        {"role": ("user", "assistant")[place % 2], "content": content}
        for place, content in enumerate(contents)
    ]


def prompt(user: int, number: int) -> Row:
    return {
        "id": f"p-{user}-{number}",
        "messages": messages(f"What is {user} and {number}?"),
        "user": f"user-{user}",
        "source": "form",
    }


def ranking(user: int) -> Row:
    by = {"labeler": "labeler-01", "kind": "person", "policy": "other", "round": "imported"}
    return {
        "id": f"r-{user}",
        "prompt": prompt(user, 1),
        "responses": [f"It is {user}.", "No."],
        "ranks": [1, 2],
        **by,
    }


def demonstration(user: int) -> Row:
    about = {"user": f"user-{user}", "labeler": "labeler-01", "source": "form"}
    return {"id": f"d-{user}", "messages": messages(f"Who is {user}?", f"A number, {user}."), **about}


def lines(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    """Run a stage's command in this process; DVC passes a shell's `-c` and the command."""
    words = shlex.split(argv[-1])
    assert words[:3] == ["python", "-m", "alignloop"]
    assert main(words[3:]) == 0


def bring_up_to_date(root: Path) -> list[str]:
    return [dvc_pipeline.pipeline(root).bring_up_to_date(stage, start) for stage in STAGES]


def train(root: Path, stage: str, round: str | None, inputs: Sequence[str], model: str) -> registry.Version:
    """Leave what a training stage leaves: a run that read these paths as they are, and a registered model."""
    place = root / model
    place.mkdir(parents=True, exist_ok=True)
    hashes = {path: dvc_pipeline.hash_of(root / path, root) for path in inputs}
    (place / "weights").write_text(json.dumps(hashes))
    hash = dvc_pipeline.hash_of(place, root)
    with tracking.run(root, stage, round, inputs=hashes) as run:
        run.finish({model: hash})
    return registry.register(
        root, f"alignloop-{place.name}", model, hash, run=run.id, description="", parents={}, tags={}
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """v1 has all sources; in v2 one prompt and one ranking changed and one prompt is new. Models: on v1."""
    root = tmp_path_factory.mktemp("versions") / "project"
    sources = root / "data" / "sources"
    sources.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DATABASE_URL"):
            patch.delenv(name, raising=False)
        patch.chdir(root)
        (root / ".dvc").mkdir()
        (root / ".dvc" / "config").write_text(f"[core]\n    site_cache_dir = {root}/.dvc/tmp/site\n")
        (root / ".gitignore").write_text(
            "/mlruns\n/reports\n/data/*\n!/data/forgotten.txt\n/models\n/people\n/.dvc/tmp\n/.dvc/cache\n"
        )
        (root / "mlruns").mkdir()
        shutil.copy(empty_store, root / "mlruns")
        shutil.copy(PROJECT / "data" / "forgotten.txt", root / "data")
        _pipeline(root)
        prompts = [prompt(user, number) for user in range(USERS) for number in range(3)]
        (sources / "prompts.jsonl").write_bytes(lines(prompts))
        (sources / "shown.json").write_text(
            json.dumps([demonstration(user) for user in range(USERS)])
        )  # all on one line
        (sources / "ranked.jsonl.gz").write_bytes(
            gzip.compress(lines([ranking(user) for user in range(USERS)]))
        )
        (sources / "text.txt").write_text(
            "\n\n".join(f"A text of its own, number {number}. " * 20 for number in range(40))
        )
        git(root, "init", "-q")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "start")
        assert bring_up_to_date(root) == ["ran", "ran"]
        git(root, "add", "-A")
        git(root, "commit", "-qm", "one")
        git(root, "tag", "v1")
        train(root, "sft", None, ["data/demonstrations"], "models/sft")
        train(root, "reward", "r1", ["models/sft", "data/rankings/imported"], "models/r1/reward")
        train(
            root,
            "ppo",
            "r1",
            ["models/sft", "models/r1/reward", "data/prompts", "data/rankings"],
            "models/r1/policy",
        )
        other = {**prompts[5], "messages": messages("Something else?")}
        changed = [*prompts[:5], other, *prompts[6:], prompt(3, 9)]
        (sources / "prompts.jsonl").write_bytes(lines(changed))
        reversed_ranks = [
            {**ranking(user), "ranks": [2, 1] if user == 2 else [1, 2]} for user in range(USERS)
        ]
        (sources / "ranked.jsonl.gz").write_bytes(gzip.compress(lines(reversed_ranks)))
        assert bring_up_to_date(root) == ["ran", "ran"]
        git(root, "commit", "-qam", "two")
        yield root


def _pipeline(root: Path) -> None:
    """Write the stages ingest and prepare of dvc.yaml, without their code and the gate between them."""
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    selected = {name: stages[name] for name in STAGES}
    for stage in selected.values():
        stage["deps"] = [dep for dep in stage["deps"] if dep.startswith("data/")]
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": selected}, sort_keys=False))
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["ingest"].update(source="files", licences={"*": "MIT"})
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture
def data(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as the working directory, for reading."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(built)
    return built
