"""The flow on a pipeline of shell commands with the real stages' names: runs, options, failures, retries."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.concurrency import services
from prefect.testing.utilities import prefect_test_harness

from alignloop.errors import AlignloopError
from alignloop.params import load
from alignloop.tracking import registry
from flows import pipeline as entry
from tasks.doctor import consult, consult_again
from tasks.stage_task import Outcome, artifact_key
from tasks.stages import ingest
from tests.conftest import PROJECT
from tests.flow_runs import recorded_tasks, run_flow, stages_run
from tests.toy import FIRST, ROUND, change, make
from tests.web.candidates import register


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def toy(project: Path) -> Path:
    return make(project)


def test_a_run_executes_the_stale_stages_and_prefect_shows_their_logs_and_metrics(
    toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, outcomes = run_flow(rounds=["r1"])
    assert stages_run(outcomes) == [*FIRST, *(f"{name}@r1" for name in ROUND)]
    assert outcomes[0].metrics == {"loss": 0.25, "by.kind": 3}
    assert {f"working on {name}" for name in FIRST} <= set(caplog.messages)
    tasks, artifacts = recorded_tasks(state)
    assert {"plan", "validate · raw", "base model", "reward model · r1", "PPO · r1"} <= set(tasks)
    assert set(tasks.values()) == {"Completed"}
    assert set(artifacts) == {artifact_key(outcome.stage) for outcome in outcomes}
    assert "| by.kind | 3 |" in artifacts["reward-r1"]

    state, outcomes = run_flow()
    assert stages_run(outcomes) == [*(f"{name}@r2" for name in ROUND), "release"]
    assert "wins against SFT" in recorded_tasks(state)[1]["results"]
    assert (
        "up to date" in subprocess.run(["dvc", "status"], capture_output=True, text=True, check=True).stdout
    )

    _, outcomes = run_flow()
    assert {outcome.status for outcome in outcomes} == {"unchanged"}
    assert set(services._no_limits_cache) >= {frozenset({"tag:train"}), frozenset({"tag:data", "tag:gate"})}
    assert services._no_limits_cache.ttl == 3600

    with get_client(sync_client=True) as client:
        client.create_concurrency_limit("train", 1)
        run_flow()
        known = set(services._no_limits_cache)
        client.delete_concurrency_limit_by_tag("train")
    assert frozenset({"tag:decode"}) in known
    assert frozenset({"tag:train"}) not in known, "a limit counts from the next run on"

    _, outcomes = run_flow(rounds=["r2"], start_from="reward")
    assert stages_run(outcomes) == ["reward@r2", "ppo@r2", "evaluate@r2"]


def test_options_are_written_to_the_files_that_dvc_reads_and_invalid_ones_are_not(
    toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("text")
    (tmp_path / "extra.yaml").write_text("ppo: {steps: 7}\n")
    run_flow(
        with_file=tmp_path / "extra.yaml", overrides={"seed": 5}, sources=[tmp_path / "more.txt"], rounds=[]
    )
    params = yaml.safe_load((toy / "params.yaml").read_text())
    assert (params["ppo"]["steps"], params["seed"]) == (7, 5)
    assert (toy / "data/sources/more.txt").read_text() == "text"
    configs = toy / "configs"
    shutil.copytree(PROJECT / "configs", configs)
    run_flow(base=str(tmp_path / "nowhere"), preset="laptop", data_only=True)
    assert yaml.safe_load((toy / "params.yaml").read_text()) == params, "there is no such base"
    run_flow(preset="laptop", overrides={"ppo.steps": 9}, data_only=True)
    params = yaml.safe_load((toy / "params.yaml").read_text())
    assert (params["ppo"]["steps"], params["ppo"]["reference"]) == (9, "adapter"), "what is set stays"
    for options, message in (
        ({"overrides": {"ppo.stepz": 1}}, "ppo.stepz: unknown key"),
        (
            {"overrides": {"seed": 6}, "sources": [tmp_path / "none.txt"]},
            "none.txt: does not exist; name the files to learn from",
        ),
        ({"start_from": "evaluation"}, "--from evaluation: dvc.yaml has no such stage; it has ingest, "),
        ({"rounds": ["r9"]}, "--rounds r9: params.yaml has no such round; it has r1, r2"),
    ):
        state, outcomes = run_flow(**options)
        assert not outcomes
        with pytest.raises(AlignloopError, match=message):
            state.result()
        assert yaml.safe_load((toy / "params.yaml").read_text()) == params


def test_files_decide_what_the_run_needs_and_all_that_is_missing_stops_it_before_any_stage(
    toy: Path, tmp_path: Path, tiny_policy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    defaults = toy / "configs" / "files.yaml"
    defaults.parent.mkdir()
    shutil.copy(PROJECT / "configs" / "files.yaml", defaults)
    row = '{"prompt": "Is it green?", "chosen": "Yes, it is.", "rejected": "No."}\n'
    (tmp_path / "prefs.jsonl").write_text(row)
    options: dict[str, Any] = {"with_file": defaults, "sources": [tmp_path / "prefs.jsonl"], "rounds": []}
    before = (toy / "params.yaml").read_bytes()
    state, outcomes = run_flow(**options)
    assert not outcomes
    with pytest.raises(AlignloopError, match=r"1 thing is missing .*\n- a base model") as caught:
        state.result()
    remedy = f'make run-files FILES="{tmp_path}/prefs.jsonl" ARGS="--set base=YOUR-CHECKPOINT"'
    assert remedy in str(caught.value)
    assert (toy / "params.yaml").read_bytes() == before

    quantised = tmp_path / "quantised"
    shutil.copytree(tiny_policy, quantised)
    config = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "awq"}})
    )
    state, outcomes = run_flow(**options, overrides={"base": str(quantised)})
    assert not outcomes
    with pytest.raises(AlignloopError, match=r"^base: .*the weights are quantised \(awq\)"):
        state.result()
    assert (toy / "params.yaml").read_bytes() == before
    told = consult(toy, str(tiny_policy), [defaults], {})
    assert told.lines[-1].startswith("about how long on idle cores")
    assert told.rates
    assert not told.complete, "the files are not prepared, so SFT's time is not known"
    [again] = consult_again(toy, str(tiny_policy), told.rates)  # by params.yaml, whose source is built in
    assert again.startswith("about how long on idle cores (h:mm:ss or m:ss, of rounds each): sft 0:")

    options |= {"overrides": {"base": "org/name"}, "data_only": True}
    run_flow(**options)
    params = load(toy / "params.yaml")
    assert (params.label.kind, list(params.rounds)) == ("imported", ["r1"])
    assert (params.ppo.ptx_coef, params.release.gates.max_perplexity_ratio) == (0.0, None)
    said = ("no plain text: ", "no demonstrations: the chosen responses", "no new labels: ")
    assert all(any(line.startswith(start) for line in caplog.messages) for start in said)
    written = (toy / "params.yaml").read_bytes()
    run_flow(**options)
    assert (toy / "params.yaml").read_bytes() == written, "the same files decide the same"

    state, _ = run_flow(**{**options, "overrides": {"base": "org/name", "ppo.ptx_coef": 0.3}})
    with pytest.raises(AlignloopError, match=r"plain text: ppo\.ptx_coef asks for it"):
        state.result()
    own = tmp_path / "own.yaml"
    own.write_text("label: {kind: judge}\n")
    run_flow(**{**options, "with_file": own})
    assert load(toy / "params.yaml").label.kind == "judge", "a choice in a file of one's own stays"


def test_a_failed_stage_reports_its_error_in_prefect_and_on_the_console_and_the_same_command_continues(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = yaml.safe_load((toy / "dvc.yaml").read_text())["stages"]["prepare"]["cmd"]
    change(
        toy, "prepare", "echo reading; echo 'prepare: data/raw/prompts.jsonl:3: user: is missing' >&2; exit 1"
    )
    assert entry.main([]) == 1
    printed = capsys.readouterr()
    assert "\nprepare: data/raw/prompts.jsonl:3: user: is missing\n" in printed.err
    assert printed.err.rstrip().endswith(
        "next: the same command continues with this stage; what was finished stays"
    )
    assert "Traceback" not in printed.err + printed.out

    state, _ = run_flow()
    tasks, _ = recorded_tasks(state)
    assert tasks == {
        "plan": "Completed",
        "champion": "Completed",
        "ingest": "Completed",
        "validate · raw": "Completed",
        "prepare": "Failed",
    }
    assert (state.message or "").endswith("StageFailed: prepare: data/raw/prompts.jsonl:3: user: is missing")

    change(toy, "prepare", whole)
    _, outcomes = run_flow(rounds=[])
    assert stages_run(outcomes) == ["prepare", "validate_sets", "pretrain", "sft"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "params.yaml").open("a").write("pppo: 1\n"), "params.yaml: pppo: unknown key"),
        (
            lambda root: (root / "params.yaml").unlink(),
            "params.yaml: No such file or directory; run from the project's root",
        ),
        (
            lambda root: (root / ".git").rename(root / "git"),
            "no git repository here, and DVC needs one; clone the project",
        ),
        (lambda root: (root / ".dvc").rename(root / "dvc"), "no DVC project here"),
        (lambda root: (root / "dvc.yaml").write_text("stages: ["), "dvc.yaml"),
    ],
    ids=["an unknown key", "no params.yaml", "no git repository", "no DVC project", "a broken dvc.yaml"],
)
def test_a_broken_project_is_reported_at_once(
    toy: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(toy)
    began = time.monotonic()
    assert entry.main([]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert time.monotonic() - began < 5


def test_a_killed_process_is_retried(toy: Path) -> None:
    change(
        toy,
        "ingest",
        "mkdir -p out metrics; echo {} > metrics/ingest.json; cp source.txt out/ingest.txt; "
        "mkdir once && kill -9 $$; true",
    )

    @flow
    def one() -> Outcome:
        return ingest.with_options(retry_delay_seconds=0)()

    assert one().status == "ran"


def test_a_stage_that_exceeds_its_timeout_is_ended(toy: Path) -> None:
    change(toy, "ingest", "echo $$ > pid; sleep 60")

    @flow
    def one() -> Outcome:
        return ingest.with_options(timeout_seconds=1, retries=0)()

    began = time.monotonic()
    state: State[Any] = one(return_state=True)
    assert state.is_failed()
    assert time.monotonic() - began < 15
    assert not Path("/proc", (toy / "pid").read_text().strip()).exists()


def test_an_alias_moved_by_hand_is_reported_until_restored_and_an_unchanged_registry_is_not_checked(
    toy: Path,
) -> None:
    def reported() -> str | None:
        return recorded_tasks(run_flow(rounds=[])[0])[1].get("champion")

    checked = toy / ".cache" / "champion-agreed"
    assert (reported(), checked.exists()) == (None, True)
    version = register(toy, "new")
    registry.set_alias(toy, "champion", version)
    message = (
        "the alias 'champion' is alignloop-policy/1, but the log, which is empty, names none: moved by hand"
    )
    assert [(reported() or "").splitlines()[0] for _ in range(2)] == [message, message]
    registry.delete_alias(toy, "champion", version.name)
    assert (reported(), checked.exists()) == (None, True)
    before = checked.stat().st_mtime_ns
    assert (reported(), checked.stat().st_mtime_ns) == (None, before)
