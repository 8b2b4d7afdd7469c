"""The whole loop at its smallest, as people run it: in a clone of its own, with nothing around it,
interrupted once, and then extended.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.clone import Clone

ROUND = ("sample", "label", "validate_rankings", "reward", "ppo", "evaluate")
FIRST = ("ingest", "validate_raw", "prepare", "validate_sets", "pretrain", "sft")
CHECKPOINT = (
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
SPLITS = ("train", "valid", "test")
ALIGNLOOP = (sys.executable, "-m", "alignloop")


def listening() -> None:
    """Let Ctrl-C through, which a shell switches off for what it starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def files(root: Path, *places: str) -> set[str]:
    return {
        str(path.relative_to(root))
        for place in places
        for path in (root / place).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = Clone(tmp_path_factory.mktemp("whole"))
    rounds = yaml.safe_load((clone.root / "params.yaml").read_text())["rounds"]
    tiny = yaml.safe_load((clone.root / "tests" / "tiny.yaml").read_text())
    first = clone.home.parent / "first.yaml"
    first.write_text(yaml.safe_dump(tiny | {"rounds": {"r1": rounds["r1"]}}))
    command = [sys.executable, "-m", "flows.pipeline", "--with", str(first)]
    how: Any = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "start_new_session": True,
    }
    with subprocess.Popen(command, cwd=clone.root, env=clone.env, preexec_fn=listening, **how) as run:
        assert run.stdout is not None
        heard = ""
        for line in run.stdout:
            if "sft  1/" in line and "sft  1/" not in heard:
                os.killpg(run.pid, signal.SIGINT)  # as a terminal does, to Prefect's server too
            heard += line
    assert run.returncode == 130, heard
    assert "interrupted; the same command continues with the stage that was running" in heard
    return clone


def test_the_loop_runs_continues_skips_and_grows_and_leaves_exactly_its_files(clone: Clone) -> None:
    done = clone.flow()
    assert {name for name, what in done.items() if what == "up to date"} == set(FIRST) - {"sft"}
    assert {name for name, what in done.items() if what == "ran"} == {
        "sft",
        "release",
        *(f"{name}@r1" for name in ROUND),
    }

    verdict, state = clone.verdict()
    assert (verdict["passed"], verdict["against_champion"], state["previous"]) == (True, False, None)

    lock = (clone.root / "dvc.lock").read_bytes()
    assert set(clone.flow().values()) == {"up to date"}
    assert (clone.root / "dvc.lock").read_bytes() == lock
    assert "up to date" in clone.say("dvc", "status")
    assert "failed" not in clone.say("dvc", "metrics", "show"), (
        "DVC takes a key named `error` for a failure of its own"
    )

    clone.say("dvc", "remote", "add", "--local", "--default", "storage", str(clone.home.parent / "remote"))
    added = (
        "{policy: models/r1/policy, start: models/sft, reward_start: models/r1/reward, rankings: "
        "data/rankings/r1, by: dpo}"
    )
    again = clone.flow("--set", f"rounds.r2={added}", "--commit")
    assert {name for name, what in again.items() if what != "up to date"} == {
        "release",
        *(f"{name}@r2" for name in ROUND),
    }
    assert "up to date" in clone.say("dvc", "status")
    learned = yaml.safe_load((clone.root / "dvc.lock").read_text())["stages"]["reward@r2"]
    assert "--start models/r1/reward " in learned["cmd"]
    assert "models/r1/reward" in {dep["path"] for dep in learned["deps"]}
    assert clone.verdict()[0]["against_champion"], (
        "the policy of r2 is held against that of r1, which the gates had made the champion"
    )
    audit = clone.say(*ALIGNLOOP, "review", "--audit")
    assert "entries, all unchanged\naliases and releases/champion.json match the log" in audit

    rounds = ("r1", "r2")
    metrics = {f"metrics/{name}.json" for name in ("ingest", "prepare", "pretrain", "sft", "release")}
    metrics |= {f"metrics/validation/{name}.json" for name in ("raw", "sets", *rounds)}
    metrics |= {
        f"metrics/rounds/{round}/{name}.json"
        for round in rounds
        for name in (*ROUND, "headline")
        if name != "validate_rankings"
    }
    data = {
        f"data/raw/{name}"
        for name in (
            "documents.jsonl",
            "prompts.jsonl",
            "demonstrations.jsonl",
            "rankings.jsonl",
            "sources.json",
            "refused.csv",
        )
    }
    data |= {f"data/{name}/{split}.jsonl" for name in ("prompts", "demonstrations") for split in SPLITS}
    data |= {"data/release/responses.jsonl"}
    data |= {"data/corpus/train.jsonl", "data/corpus/valid.jsonl", "data/rankings/imported/imported.jsonl"}
    data |= {
        f"data/rankings/{name}.jsonl" for name in ("r1/imported", "r1/r1", "r2/imported", "r2/r1", "r2/r2")
    }
    data |= {
        name
        for r in rounds
        for name in (
            f"data/samples/{r}.jsonl",
            f"data/policy/{r}/rollouts.jsonl",
            f"data/evaluation/{r}/responses.jsonl",
        )
    }
    policies = {"models/base", "models/sft", *(f"models/{round}/policy" for round in rounds)}
    models = {f"{place}/{name}" for place in policies for name in (*CHECKPOINT, "generation_config.json")}
    models |= {
        f"models/{round}/reward/{name}" for round in rounds for name in (*CHECKPOINT, "head.safetensors")
    }
    plots = {
        f"plots/{name}.csv"
        for name in (
            "pretrain",
            "sft",
            *(f"rounds/{r}/{name}" for r in rounds for name in ("reward", "ppo", "overoptimisation")),
        )
    }
    tracked = set(clone.say("git", "ls-files").splitlines())
    assert (
        files(clone.root, "metrics", "data", "models", "plots") - tracked == metrics | data | models | plots
    )
    pages = {
        name
        for name in files(clone.root, "reports")
        if not name.startswith("reports/validation/") and name.endswith((".md", ".html"))
    }
    assert pages == {
        "reports/index.html",
        "reports/results.md",
        *(f"reports/labels/{round}.md" for round in rounds),
    }
    assert all(
        (clone.root / "reports" / "validation" / name / "index.html").exists()
        for name in ("raw", "sets", *rounds)
    )
    changed = {line[3:] for line in clone.say("git", "status", "--porcelain", "-uall").splitlines()}
    assert changed == {"params.yaml", "dvc.lock", "releases/champion.json", "releases/audit.jsonl", *metrics}
    top = {path.name for path in clone.root.iterdir()} - {name.split("/")[0] for name in tracked}
    assert top == {".git", ".cache", ".prefect", "dvc.lock", "metrics", "models", "plots", "reports"}
    assert list(clone.home.iterdir()) == []  # nothing in the home or the temporary folder


def test_a_recorded_run_is_up_to_date_in_a_new_clone(clone: Clone) -> None:
    [tag] = clone.say("git", "tag").split()
    told = clone.say("git", "log", "-1", "--format=%s%n%b", tag)
    assert re.match(r"r2: wins [01]\.\d{3} \[.*\] against SFT, gold .*, KL ", told)
    assert re.search(r"^\| r2 +\|", told, re.MULTILINE), "the tables too"
    there = clone.home.parent / "there"
    clone.say("git", "clone", "-q", "--branch", tag, str(clone.root), str(there))
    shutil.copy(clone.root / ".dvc" / "config.local", there / ".dvc")
    clone.say("dvc", "--cd", str(there), "pull", "-q")
    assert "Data and pipelines are up to date." in clone.say("dvc", "--cd", str(there), "repro")
    assert clone.say("git", "-C", str(there), "status", "--porcelain") == ""
    shutil.rmtree(there)


def test_a_stage_in_a_cold_process_gives_the_same_bytes_as_in_a_warm_one(clone: Clone) -> None:
    before = clone.lock()
    clone.say("dvc", "repro", "--single-item", "--force", "ppo@r1")
    assert clone.lock() == before


def test_mlflow_has_one_finished_run_a_stage_and_prefect_has_an_artifact_that_links_to_it(
    clone: Clone,
) -> None:
    with sqlite3.connect(clone.root / "mlruns" / "mlflow.db") as store:
        runs = Counter(store.execute("select name, status from runs").fetchall())
        ids = {id for (id,) in store.execute("select run_uuid from runs where name = 'reward · r2'")}
    names = {name for name, status in runs if status == "FINISHED"}
    assert names >= {
        "ingest",
        "sft",
        "release",
        *(f"{name} · {round}" for round in ("r1", "r2") for name in ROUND),
    }
    assert [status for name, status in runs if name == "sft"] == [
        "FINISHED"
    ]  # the run that was interrupted resumed
    assert runs["sft", "FINISHED"] == 1
    with sqlite3.connect(clone.root / ".prefect" / "prefect.db") as pages:
        (data,) = pages.execute("select data from artifact where key = 'reward-r2'").fetchone()
        open_tasks = pages.execute(
            "select name from task_run where state_type in ('RUNNING', 'PENDING')"
        ).fetchall()
    assert any(id in json.loads(data) for id in ids)
    assert open_tasks == []


def test_a_policy_trained_elsewhere_is_a_round_that_later_rounds_train_further(clone: Clone) -> None:
    theirs = clone.root / "elsewhere" / "theirs"
    shutil.copytree(clone.root / "models" / "sft", theirs)
    weights = load_file(theirs / "model.safetensors")
    save_file({name: tensor * 1.001 for name, tensor in weights.items()}, theirs / "model.safetensors")
    (theirs / "chat_template.jinja").rename(clone.home.parent / "template")
    added = {
        "r3": "{policy: models/r2/policy, start: elsewhere/theirs, reward_start: models/r2/reward, rankings: "
        "data/rankings/r2, by: adopted}",
        "r4": "{policy: models/r3/policy, start: models/r3/policy, reward_start: models/r3/reward, rankings: "
        "data/rankings/r3, by: ppo}",
    }
    changes = [word for name, plan in added.items() for word in ("--set", f"rounds.{name}={plan}")]
    without = [sys.executable, "-m", "flows.pipeline", *changes]
    refused = subprocess.run(without, cwd=clone.root, env=clone.env, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "elsewhere/theirs: it has no chat template; put the chat_template.jinja" in " ".join(
        (refused.stdout + refused.stderr).split()
    )
    assert "r3:" not in (clone.root / "params.yaml").read_text(), "nothing was written"
    (clone.home.parent / "template").rename(theirs / "chat_template.jinja")
    done = clone.flow(*changes)
    assert {name for name, what in done.items() if what == "ran"} == {
        "release",
        *(f"{name}@{round}" for round in ("r3", "r4") for name in ROUND),
    }
    mine = load_file(clone.root / "models" / "r3" / "policy" / "model.safetensors")
    assert all(torch.equal(mine[name], tensor * 1.001) for name, tensor in weights.items())
    for folder in ("reward", "rankings"):
        old, new = (
            clone.root / (f"models/{name}/reward" if folder == "reward" else f"data/rankings/{name}")
            for name in ("r2", "r3")
        )
        assert {file.name: file.read_bytes() for file in old.iterdir()} == {
            file.name: file.read_bytes() for file in new.iterdir()
        }
    assert (clone.root / "data" / "samples" / "r3.jsonl").read_bytes() == b""
    rankings = clone.root / "data" / "rankings" / "r4"
    assert {file.name for file in rankings.iterdir()} == {
        "imported.jsonl",
        "r1.jsonl",
        "r2.jsonl",
        "r4.jsonl",
    }
    assert clone.verdict()[0]["rules"]["traced"] == {"value": 1, "bound": 0, "met": False}
    tree = clone.say(*ALIGNLOOP, "lineage", "models/r4/policy")
    assert re.search(r"elsewhere/theirs  \w+.*\n.*no stage made it: raw bytes", tree)
    assert set(clone.flow().values()) == {"up to date"}


def test_no_process_of_any_run_is_left(clone: Clone) -> None:
    deadline = time.monotonic() + 10
    while left := [place for place in Path("/proc").glob("[0-9]*/cwd") if _at(place, clone.root)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _at(cwd: Path, root: Path) -> bool:
    try:
        return cwd.resolve() == root
    except OSError:
        return False
