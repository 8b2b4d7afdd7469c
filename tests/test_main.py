"""`python -m alignloop STAGE …` runs a stage's function and ends with one message and the right exit code."""

import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alignloop import stages, tracking
from alignloop.__main__ import main
from alignloop.params.binding import sections
from alignloop.stage_arguments import descriptions, parser_of

PROJECT = Path(__file__).parents[1]
Write = Callable[..., None]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Add a stage of our own, written as every stage is, to those of the package."""
    folder = tmp_path / "stages"
    folder.mkdir()
    monkeypatch.setattr(stages, "__path__", [*stages.__path__, str(folder)])
    names = []

    def write(name: str, body: str, arguments: str = "out: Path, metrics: Path") -> None:
        names.append(name)
        head = (
            '"""A stage."""\nimport errno, os, random, time\nfrom pathlib import Path\nfrom '
            "alignloop.errors import AlignloopError\n"
        )
        head += "from alignloop.params.section import Seed\nfrom alignloop.progress import Progress\n\n"
        head += f"def {name}(seed: Seed, {arguments}):\n"
        (folder / f"{name}.py").write_text(
            head + textwrap.indent('"""Count to three."""\n' + inspect.cleandoc(body), "    ") + "\n"
        )

    yield write
    for name in names:
        sys.modules.pop(f"alignloop.stages.{name}", None)


COMPUTE = {f"compute.{key}" for key in ("device", "frozen_weights", "precision", "processes", "shard")}
COMPUTE |= {f"compute.{key}" for key in ("gradient_checkpointing", "tokens_per_pass", "head_tokens")}
COUNT = """
for number in range(1, 4):
    yield Progress(number, 3, {"loss": 1 / number})
out.write_text(f"{seed}")
metrics.parent.mkdir(parents=True, exist_ok=True)
metrics.write_text('{"loss": 0.25, "by": {"kind": {"first": 2}}, "note": "text", "none": null}')
"""


def run(*arguments: str) -> int:
    return main(list(arguments))


def test_a_stage_gets_its_arguments_and_leaves_its_outs_and_a_run_with_its_curves(
    project: Path, stage: Write, capsys: pytest.CaptureFixture
):
    stage("count", COUNT)
    assert run("count", "--out", "out.txt", "--metrics", "metrics/count.json") == 0
    assert (project / "out.txt").read_text() == "1"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "count  1/3 · loss 1"
    assert lines[1].startswith("count  3/3 · ")
    assert lines[1].endswith(" · loss 0.333 · done in 0:00")
    [found] = tracking.runs(project)
    assert (found.stage, found.round, found.status) == ("count", None, "FINISHED")
    assert set(found.params) == {"seed", "threads", *COMPUTE}
    assert set(found.outputs) == {"out.txt", "metrics/count.json"}
    client = tracking.client(tracking.store_uri(project))
    assert [(point.step, point.value) for point in client.get_metric_history(found.id, "count/loss")] == [
        (1, 1),
        (2, 0.5),
        (3, 1 / 3),
    ]
    metrics = client.get_run(found.id).data.metrics
    assert {name for name in metrics if name.startswith("cost/")} == {
        "cost/cpu_seconds",
        "cost/process_seconds",
    }
    metrics = {name: value for name, value in metrics.items() if not name.startswith("cost/")}
    assert metrics == {"count/loss": 1 / 3, "count/results/loss": 0.25, "count/results/by.kind.first": 2}
    [loop] = client.search_runs(["1"], "tags.loop LIKE '%'")
    assert client.get_run(found.id).data.tags["mlflow.parentRunId"] == loop.info.run_id
    assert loop.data.params["ppo.kl.coef"] == "0.3", (
        "all parameters, also those that the stage has no use for"
    )
    assert (project / "mlruns" / "artifacts" / found.id / "artifacts" / "metrics" / "count.json").exists()


def test_a_word_that_is_a_stage_and_a_command_is_the_stage_where_a_round_is_named(
    project: Path, capsys: pytest.CaptureFixture
):
    assert run("label", "--help") == 0
    assert "serve the labeling pages" in capsys.readouterr().out
    assert run("label", "--round=r1") == 2
    assert "the following arguments are required: --samples" in capsys.readouterr().err
    assert run("label", "invite", "labeler-ada") == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:4300/invitation/[\w-]{43}\n", capsys.readouterr().out)
    assert run("label", "invite", "ada") == 0
    assert "for labeler-ada" in capsys.readouterr().err
    assert run("label", "invite", "Ada B") == 1
    assert "'labeler-Ada B' is not a valid labeler name" in capsys.readouterr().err


def test_the_declaration_in_dvc_yaml_tells_inputs_outputs_code_and_parameters(project: Path, stage: Write):
    stage("count", COUNT, "round: str, data: Path, out: Path, metrics: Path, docs: Path")
    (project / "data").mkdir()
    (project / "data" / "set.jsonl").write_text("{}\n")
    (project / "alignloop").mkdir()
    (project / "alignloop" / "code.py").touch()
    command = (
        "python -m alignloop count --round ${key} --data data --out models/${key} --metrics "
        "metrics/${key}.json --docs reports/${key}"
    )
    entry = {
        "cmd": command,
        "deps": ["data", "alignloop/code.py"],
        "params": ["ppo.kl", "seed"],
        "outs": ["models/${key}"],
    }
    entry["metrics"] = [{"metrics/${key}.json": {"cache": False}}]
    earlier = {"cmd": "true", "outs": ["data/set.jsonl"]}
    (project / "dvc.yaml").write_text(
        json.dumps({"stages": {"earlier": earlier, "tally": {"foreach": "${rounds}", "do": entry}}})
    )
    (project / "models").mkdir()
    assert run(*command.replace("${key}", "r2").split()[3:]) == 0
    [found] = tracking.runs(project)
    assert (found.stage, found.round) == ("tally", "r2"), "the name in dvc.yaml, where the command has one"
    assert set(found.inputs) == {"data", "data/set.jsonl"}, (
        "what another stage made inside an input is an input"
    )
    assert set(found.outputs) == {"models/r2", "metrics/r2.json"}
    assert set(found.code) == {"alignloop/code.py"}
    assert set(found.params) == {
        "ppo.kl.coef",
        "ppo.kl.target_kl_per_response_nats",
        "ppo.kl.horizon_responses",
        "seed",
        "threads",
        *COMPUTE,
    }


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (
            "yield\nraise AlignloopError('data/x.jsonl:3: rank 0; write 1')",
            1,
            "broken: data/x.jsonl:3: rank 0; write 1\n",
        ),
        ("raise KeyboardInterrupt\nyield", 130, "broken: interrupted; its outputs are as they were\n"),
    ],
)
def test_what_can_be_expected_to_fail_is_one_line_without_a_traceback(
    project: Path, stage: Write, body: str, status: int, said: str, capsys: pytest.CaptureFixture
):
    stage("broken", body.replace("yield\n", "yield Progress(1, 2)\n"))
    assert run("broken", "--out", "o", "--metrics", "m") == status
    assert capsys.readouterr().err == said
    assert [found.status for found in tracking.runs(project)] == ["FAILED" if status == 1 else "KILLED"]


@pytest.mark.parametrize(
    "error",
    [
        "OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out))",
        "RuntimeError('SafetensorError: I/O error: No space left on device')",
    ],
)
def test_a_full_disk_is_told_with_its_place_however_a_library_words_it(
    project: Path, stage: Write, error: str, capsys: pytest.CaptureFixture
):
    stage("broken", f"yield Progress(1, 2)\nraise {error}")
    assert run("broken", "--out", str(project / "o"), "--metrics", "m") == 1
    said = capsys.readouterr().err
    assert re.fullmatch(
        rf"broken: no space left on the disk of {project}\S* \([\d,]+ MB free\); make room and run "
        r"again: .*\n",
        said,
    )


def test_a_bug_keeps_its_traceback(project: Path, stage: Write):
    stage("broken", "yield Progress(1, 2)\nreturn 1 / 0")
    with pytest.raises(ZeroDivisionError):
        run("broken", "--out", "o", "--metrics", "m")
    assert [found.status for found in tracking.runs(project)] == ["FAILED"]


def test_a_wrong_parameter_stops_the_stage_before_it_starts(
    project: Path, stage: Write, capsys: pytest.CaptureFixture
):
    stage("count", COUNT)
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "stpes: 3\n")
    assert run("count", "--out", "out.txt", "--metrics", "m.json") == 1
    assert capsys.readouterr().err.startswith("count: params.yaml: stpes: unknown key")
    assert not (project / "out.txt").exists()
    assert tracking.runs(project) == []


def test_help_lists_every_stage_with_what_it_does_and_imports_none(capsys: pytest.CaptureFixture):
    code = (
        "import sys; from alignloop.__main__ import main; main(['--help']); print({'torch', 'mlflow', "
        "'dvc'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    for name in ("ingest", "sft", "ppo", "release", "lineage"):
        assert re.search(rf"^  {name} +\w+.+", said, re.MULTILINE), name
    assert said.index("  status ") < said.index("  ingest "), "what people need comes first"
    assert said.endswith("set()\n")


def test_the_help_of_a_stage_imports_no_stage_and_names_the_arguments_of_its_function():
    code = (
        "import sys; from alignloop.__main__ import main; main(['ppo', '--help']); print({'torch', 'mlflow', "
        "'dvc'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    assert said.endswith("set()\n")
    for name in descriptions():
        function = getattr(importlib.import_module(f"alignloop.stages.{name}"), name)
        filled = {*sections(function), "checkpoint"}
        wanted = {argument for argument in inspect.signature(function).parameters if argument not in filled}
        assert {each.dest for each in parser_of(name)._actions} - {"help"} == wanted, name


def test_an_unknown_stage_or_a_missing_argument_is_a_usage_error(
    project: Path, stage: Write, capsys: pytest.CaptureFixture
):
    stage("count", COUNT)
    assert run("cuont") == 2
    assert "there is no stage 'cuont'" in capsys.readouterr().err
    assert run("count", "--out", "o") == 2
    assert "required: --metrics" in capsys.readouterr().err
    assert run("count", "--help") == 0
    assert "Count to three." in capsys.readouterr().out


def test_the_same_seed_draws_the_same_whatever_was_drawn_before(project: Path, stage: Write):
    stage(
        "draw",
        "import random, numpy\nyield Progress(1, 1)\nout.write_text(f'{random.random()} "
        "{numpy.random.rand()}')",
        "out: Path",
    )
    for name in ("a", "b"):
        assert run("draw", "--out", name) == 0
    assert (project / "a").read_text() == (project / "b").read_text()


def test_sigterm_ends_the_run_as_killed_and_the_process_with_143(project: Path, stage: Write):
    source = project.parent / "stages"
    stage("wait", "yield Progress(1, 2)\nprint('ready', flush=True)\ntime.sleep(60)", "out: Path")
    code = f"import sys; from alignloop import stages; stages.__path__.append({str(source)!r})"
    code += "; from alignloop.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "wait", "--out", "o"]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (143, "wait: terminated; its outputs are as they were\n")
    assert [found.status for found in tracking.runs(project)] == ["KILLED"]


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_signs_that_the_console_lacks_are_replaced(encoding: str):
    words = "Grüße · 日本 → \udcff"
    code = "from alignloop.__main__ import main\nassert main(['--help']) == 0\n"
    env = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", f"{code}print({words!a})"]
    done = subprocess.run(command, env=env, capture_output=True, check=True)
    assert done.stdout.endswith(words.encode(encoding, "replace") + b"\n")
    assert "python -m alignloop COMMAND …".encode(encoding, "replace") in done.stdout
