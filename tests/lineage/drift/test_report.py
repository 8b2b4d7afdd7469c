"""A gate compares the data it lets pass with the version before; no file that DVC tracks depends on it."""

import base64
import html
import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from alignloop import tracking
from alignloop.__main__ import main
from alignloop.lineage.drift.baseline import find_baseline
from alignloop.pipeline import dvc_pipeline

STAGE = "validate_rankings"
DOCS, PROFILE = Path("reports/validation/rankings"), Path("reports/profiles/rankings.json")
COMMAND = (
    f"--suite rankings --data data/rankings --docs {DOCS} --profile {PROFILE} "
    "--metrics metrics/validation/rankings.json"
)


def start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
    assert main(shlex.split(argv[-1])[3:]) == 0


class Gate:
    """A project whose one stage is a gate, run as DVC runs it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        stage = {
            "cmd": f"python -m alignloop validate {COMMAND}",
            "deps": ["data/rankings"],
            "params": ["validate"],
            "outs": [str(PROFILE)],
        }
        stage["metrics"] = [{"metrics/validation/rankings.json": {"cache": False}}]
        (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {STAGE: stage}}))
        self.git("add", "-A")
        self.git("commit", "-qm", "gate")

    def git(self, *words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], cwd=self.root, check=True
        )

    def check(
        self, category: str, others: tuple[int, int], force: bool = False, question: str = "What is"
    ) -> list[str]:
        """Pass 150 prompts that two labelers ranked, one in this order; return the lines about drift."""
        rows = []
        for number in range(300):
            prompt = {
                "id": f"p{number // 2}",
                "messages": [{"role": "user", "content": f"{question} {number // 2}?"}],
                "user": f"u{number // 2}",
            }
            by = {"labeler": f"labeler-{number % 2}", "kind": "person", "policy": "m", "round": "r1"}
            ranks = others if number % 2 else (1, 2)
            rows.append(
                {
                    "id": f"r{number}",
                    "prompt": prompt | {"category": category, "source": "s"},
                    "responses": ["a", "b"],
                    "ranks": ranks,
                    **by,
                }
            )
        place = self.root / "data" / "rankings" / "r1.jsonl"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert dvc_pipeline.pipeline(self.root).bring_up_to_date(STAGE, start, force) == "ran"
        lines = self.capsys.readouterr().out.splitlines()
        return [line.partition("  ")[2] for line in lines if "drift" in line]

    def description(self) -> str:
        client = tracking.client(tracking.store_uri(self.root))
        return client.get_run(tracking.runs(self.root)[0].id).data.tags["mlflow.note.content"]


@pytest.fixture
def gate(project: Path, capsys: pytest.CaptureFixture[str]) -> Gate:
    return Gate(project, capsys)


FIRST = "drift: there is no version before this one to compare with"


def test_a_shift_is_a_warning_in_the_log_in_the_pages_and_in_mlflow_and_so_is_the_way_back(
    gate: Gate,
) -> None:
    assert gate.check("fact", (1, 2)) == [FIRST]
    assert FIRST in html.unescape((DOCS / "index.html").read_text())
    profile, lock = PROFILE.read_bytes(), Path("dvc.lock").read_bytes()
    data = dvc_pipeline.hash_of(gate.root / "data" / "rankings", gate.root)
    assert find_baseline(gate.root, STAGE, None, {"data/rankings": data}, str(PROFILE)) is None, (
        "the same data has no version before it"
    )
    [summary, *warnings] = gate.check("<b>sum</b>", (2, 1))
    passed = r"drift: compared with the version before, which passed .*, run \w{32}, .* UTC"
    assert re.fullmatch(rf"{passed}: 2 of 4 measures moved .*", summary)
    assert [warning.partition(";")[0] for warning in warnings] == [
        "warning: drift: rankings: category: <b>sum</b> 0.0% → 100.0%",
        "warning: drift: rankings: agreement: pairs ordered alike 100.0% → 0.0%",
    ]
    assert all(warning.endswith(f"; {DOCS}/drift.html shows it") for warning in warnings)

    index, page = (DOCS / "index.html").read_text(), (DOCS / "drift.html").read_text()
    assert 'href="drift.html"' in index
    assert "rankings: category" in index
    assert "<b>sum" not in index + page, "a category's name is text"
    picture = (DOCS / "drift.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert base64.b64encode(picture).decode() in page, "MLflow shows one file at a time"
    run = tracking.runs(gate.root)[0]
    uploaded = {
        file.path for file in tracking.client(tracking.store_uri(gate.root)).list_artifacts(run.id, "reports")
    }
    assert uploaded >= {
        "reports/drift.html",
        "reports/drift.png",
        "reports/index.html",
        "reports/rankings.json",
    }
    assert f"/runs/{run.id}/artifacts/reports/drift.html)" in gate.description()
    [linked] = re.findall(
        r"\(#/experiments/\d+/runs/\w+/artifacts/(reports/validations/\S+\.html)\)", gate.description()
    )
    assert (DOCS / Path(linked).relative_to("reports")).exists()

    [summary, *warnings] = gate.check("fact", (1, 2), force=True)
    assert [warning.partition(";")[0].rpartition(": ")[2] for warning in warnings] == [
        "fact 0.0% → 100.0%",
        "pairs ordered alike 0.0% → 100.0%",
    ]
    assert (PROFILE.read_bytes(), Path("dvc.lock").read_bytes()) == (profile, lock), (
        "the version before changes nothing that DVC tracks"
    )


def test_a_clone_without_runs_finds_the_version_before_in_git_and_reports_a_missing_profile(
    gate: Gate,
) -> None:
    gate.check("fact", (1, 2))
    gate.git("add", "-A")
    gate.git("commit", "-qm", "one")
    tracking.client(tracking.store_uri(gate.root)).delete_run(tracking.runs(gate.root)[0].id)
    Path("dvc.lock").unlink()
    baseline = find_baseline(gate.root, STAGE, None, {"data/rankings": "another"}, str(PROFILE))
    assert baseline is not None
    assert baseline.label.startswith("validate_rankings, by dvc.lock of commit ")
    assert baseline.profiles == json.loads(PROFILE.read_bytes())
    pipeline = dvc_pipeline.pipeline(gate.root)
    pipeline.discard(pipeline.stored())
    [summary] = gate.check("other", (1, 2))
    assert summary.startswith(f"drift: not compared with the version before: {PROFILE} ")
    assert "is not in DVC's cache; `dvc fetch --all-commits` may bring it" in summary
