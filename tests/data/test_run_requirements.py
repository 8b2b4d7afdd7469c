"""What a run needs of its sources: all that is missing is named at once, and each command helps."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop import params as parameters
from alignloop.__main__ import main
from alignloop.data.run_requirements import DataMissing, check, fitting_values, statements
from alignloop.data.source_survey import LOOKED_AT, survey
from alignloop.params import Params
from alignloop.pipeline.overrides import override, parse_value

ROOT = Path(__file__).resolve().parents[2]
ROWS: dict[str, Any] = {
    "prefs.jsonl": {"prompt": "Is it green?", "chosen": "Yes, it is.", "rejected": "No."},
    "demos.jsonl": {"prompt": "Is it red?", "completion": "It is."},
}


def asked(*options: str) -> Params:
    """params.yaml with the defaults for files, and with options as after ARGS."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    files = yaml.safe_load((ROOT / "configs" / "files.yaml").read_text(encoding="utf-8"))
    for key in ("ingest", "label"):
        values[key] |= files[key]
    for option in options:
        key, _, value = option.partition("=")
        *places, last = key.split(".")
        section = values
        for place in places:
            section = section[place]
        section[last] = parse_value(value)
    return parameters.parse(values, "params.yaml")


def drop(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        text = json.dumps(ROWS[name]) + "\n" if name in ROWS else "A text of some words.\n"
        (folder / name).write_text(text, encoding="utf-8")


def refusal(folder: Path, files: tuple[str, ...], *options: str) -> str:
    with pytest.raises(DataMissing) as caught:
        check(asked(*options), survey(asked(*options).ingest, folder), files)
    return str(caught.value)


def commands(message: str) -> list[str]:
    return [line.strip() for line in message.splitlines() if line.startswith("    ")]


NO_TEXT = ("ppo.ptx_coef=0.0", "release.gates.max_perplexity_ratio=null")


@pytest.mark.parametrize(
    ("files", "options", "missing"),
    [
        ((), (), ["good responses", "a base model, or plain text"]),
        ((), ("base=org/name",), ["good responses", "plain text"]),
        (("text.txt",), (), ["good responses"]),
        (("prefs.jsonl",), (), ["a base model, or plain text"]),
        (("demos.jsonl",), ("label.kind=imported",), ["preferences", "a base model, or plain text"]),
        (("prefs.jsonl",), ("base=org/name",), ["plain text: ppo.ptx_coef, release.gates"]),
        (
            ("prefs.jsonl",),
            ("base=org/name", *NO_TEXT, "sft.pretrain_share=0.1"),
            ["plain text: sft.pre"],
        ),
        (("prefs.jsonl", "text.txt"), ("base=/no/folder",), ["the checkpoint /no/folder: there is no"]),
        ((), ("label.kind=imported",), ["good responses", "preferences", "a base model, or plain text"]),
    ],
)
def test_all_that_is_missing_is_named_at_once_and_each_command_brings_it(
    files: tuple[str, ...], options: tuple[str, ...], missing: list[str], tmp_path: Path
) -> None:
    drop(tmp_path / "sources", *files)
    message = refusal(tmp_path / "sources", files, *options)
    named = re.findall(r"^- (.*)", message, re.MULTILINE)
    assert len(named) == len(missing)
    count = "1 thing is" if len(missing) == 1 else f"{len(missing)} things are"
    assert message.startswith(f"{count} missing for this run (")
    assert all(line.startswith(start) for line, start in zip(named, missing, strict=True)), named
    assert "record" not in message.lower(), "our own words are nobody else's"
    if len(missing) > 1:
        return
    for command in commands(message):
        words = shlex.split(command)
        given = {word.partition("=")[0]: word.partition("=")[2] for word in words[1:] if "=" in word}
        named_files = given.get("FILES", "").split()
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        drop(folder, *(name for name in named_files if not name.startswith("YOUR")))
        for name in named_files:
            if name.startswith("YOUR"):
                drop(folder, "text.txt" if name.endswith(".txt") else "prefs.jsonl")
        changed = shlex.split(given.get("ARGS", "").replace("--set", ""))
        changed = [option.replace("YOUR-CHECKPOINT", "org/name") for option in changed]
        now = asked(*options, *changed)
        found = survey(now.ingest, folder)
        if files:  # as a run on named files does
            given = {option.partition("=")[0] for option in (*options, *changed)}
            fits = fitting_values(now, found, given, "panel").items()
            fitting = [f"{key}={json.dumps(value)}" for key, value in fits if key != "rounds"]
            now = asked(*options, *changed, *fitting)
        check(now, found)


def test_without_files_of_a_run_the_commands_leave_those_in_the_folder_alone(tmp_path: Path) -> None:
    drop(tmp_path / "sources", "text.txt")
    assert commands(refusal(tmp_path / "sources", ())) == ["cp YOUR-FILE.jsonl data/sources/"]


def test_the_built_in_environment_lacks_nothing_but_imported_rankings(tmp_path: Path) -> None:
    world = asked("ingest.source=world")
    check(world, survey(world.ingest, tmp_path))
    message = refusal(tmp_path, (), "ingest.source=world", "label.kind=imported")
    assert commands(message) == [
        'make run-files FILES="YOUR-TEXT.txt YOUR-PREFERENCES.jsonl"',
        'make run ARGS="--set label.kind=panel"',
    ]


def test_a_long_source_whose_first_rows_are_all_refused_is_left_to_the_stages(tmp_path: Path) -> None:
    tie = {**ROWS["prefs.jsonl"], "rejected": ROWS["prefs.jsonl"]["chosen"]}
    (tmp_path / "prefs.jsonl").write_text((json.dumps(tie) + "\n") * (LOOKED_AT + 1), encoding="utf-8")
    found = survey(asked().ingest, tmp_path)
    assert (found.kinds, found.is_certain) == (frozenset(), False)
    check(asked(), found)


def test_every_faulty_source_is_named_at_once(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"x": 1}\n', encoding="utf-8")
    with pytest.raises(Exception, match=r"a\.jsonl:1: no known format.*\n.*b\.jsonl:1: no known format"):
        survey(asked().ingest, tmp_path)


def test_rankings_set_imported_for_one_round_and_a_checkpoint_without_text_needs_none(tmp_path: Path) -> None:
    drop(tmp_path / "sources", "prefs.jsonl")
    params = asked("base=org/name")
    found = survey(params.ingest, tmp_path / "sources")
    values = fitting_values(params, found, (), "panel")
    rounds = values.pop("rounds")
    assert list(rounds) == ["r1"]
    assert rounds["r1"] == params.rounds["r1"].model_dump()
    assert values == {
        "ppo.ptx_coef": 0.0,
        "dpo.ptx_coef": 0.0,
        "release.gates.max_perplexity_ratio": None,
        "label.kind": "imported",
    }
    check(asked("base=org/name", *NO_TEXT, "label.kind=imported"), found)
    said = statements(asked("base=org/name", *NO_TEXT, "label.kind=imported"), found)
    assert [line.split(":")[0] for line in said] == [
        "learning rates are for a small model made here; for a checkpoint of millions of weights lower "
        "sft., reward. and ppo.learning_rate, and ppo.value_learning_rate (docs/how-to.md)",
        "no plain text",
        "no demonstrations",
        "no new labels",
    ]
    low = ("sft.learning_rate=1e-5", "reward.learning_rate=1e-5")
    assert len(statements(asked("base=org/name", *NO_TEXT, "label.kind=imported", *low), found)) == 3


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("label.kind", {"label.kind", "rounds"}),
        ("label", {"label.kind", "rounds"}),
        ("rounds.r2", {"rounds"}),
        ("ppo.ptx_coef", {"ppo.ptx_coef"}),
        ("release.gates", {"release.gates.max_perplexity_ratio"}),
    ],
)
def test_what_was_given_stays(given: str, kept: set[str], tmp_path: Path) -> None:
    drop(tmp_path / "sources", "prefs.jsonl")
    params = asked("base=org/name")
    found = survey(params.ingest, tmp_path / "sources")
    every = fitting_values(params, found, (), "panel")
    assert set(every) - set(fitting_values(params, found, {given}, "panel")) == kept


def test_rounds_that_were_added_to_a_run_on_imported_rankings_stay(tmp_path: Path) -> None:
    drop(tmp_path / "sources", "prefs.jsonl", "text.txt")
    found = survey(asked().ingest, tmp_path / "sources")
    assert fitting_values(asked(), found, (), "imported") == {"label.kind": "imported"}


def test_without_rankings_the_panel_is_said_to_be_simulated(tmp_path: Path) -> None:
    drop(tmp_path / "sources", "demos.jsonl", "text.txt")
    found = survey(asked().ingest, tmp_path / "sources")
    assert fitting_values(asked(), found, (), "panel") == {}
    [said] = statements(asked(), found)
    assert "SIMULATED" in said
    assert statements(asked("label.kind=judge"), found) == []


def test_ingest_under_dvc_alone_names_what_is_missing_before_it_reads_anything(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    override(project / "params.yaml", changes={"ingest.source": "files", "ingest.licences": {"*": "MIT"}})
    (project / "data" / "sources").mkdir(parents=True)
    drop(project / "data" / "sources", "prefs.jsonl")
    paths = {"sources": "data/sources", "forgotten": "none.txt", "out": "data/raw", "metrics": "ingest.json"}
    assert main(["ingest", *(word for name, path in paths.items() for word in (f"--{name}", path))]) == 1
    said = capfd.readouterr().err
    assert "1 thing is missing for this run (prefs.jsonl (trl)):\n- a base model, or plain text" in said
    assert not (project / "data" / "raw").exists()
