"""`python -m alignloop label`: what its verbs print, write and refuse."""

import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import select

from alignloop import __main__ as entry
from alignloop.commands import label
from alignloop.labeling import rounds
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.schema import Event
from tests.labeling.exchange import tools
from tests.web.conftest import PROJECT, samples


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, configs and a published round."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "configs"):
        (tmp_path / name).symlink_to(PROJECT / name)
    database = LabelingDatabase(database_url(tmp_path))
    rounds.publish(database, "r1", samples(2), overlap=1, enough=1.0, deadline_hours=None)
    database.close()
    return tmp_path


def run(*words: str) -> int:
    return entry.main(["label", *words])


@pytest.mark.parametrize("tool", ["label-studio", "argilla"])
def test_a_round_is_exported_ranked_and_imported(
    here: Path, capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    people = {"labeler-ada": 7 if tool == "label-studio" else tools.uuid("ada")}
    Path("people.yaml").write_text(yaml.safe_dump(people))
    assert run("export", "--round", "r1", "--to", tool, "out.json") == 0
    assert "2 items of round r1 in out.json and out." in capsys.readouterr().out
    person = people["labeler-ada"]
    if tool == "label-studio":
        tasks = json.loads(Path("out.json").read_text())
        result = {
            "from_name": "rank",
            "to_name": "answers",
            "type": "ranker",
            "value": {"ranker": {"rank-1": ["0", "2"], "rank-2": ["1"]}},
        }
        Path("out.json").write_text(
            json.dumps(
                [{**each, "annotations": [{"completed_by": person, "result": [result]}]} for each in tasks]
            )
        )
        back = tools.label_studio(Path("out.json"))
    else:
        [page] = map(json.loads, Path("out.json").read_text().splitlines())
        value = [{"value": f"answer-{number}", "rank": rank} for number, rank in ((1, 2), (2, 1), (3, 2))]
        response = {"user_id": person, "status": "submitted", "values": {"ranking": {"value": value}}}
        Path("out.json").write_text(
            json.dumps({"items": [{**each, "responses": [response]} for each in page["items"]]}) + "\n"
        )
        back = tools.argilla(Path("out.json"))
    assert run("import", "--round", "r1", "--people", "people.yaml", str(back)) == 0
    assert (
        "2 rankings and 0 skips by labeler-ada; 0 imported before\nround r1: 2 of 2, 0 missing"
        in capsys.readouterr().out
    )
    assert run("import", "--round", "r1", "--people", "people.yaml", str(back)) == 0
    assert "0 rankings and 0 skips by no labeler; 2 imported before" in capsys.readouterr().out


def test_the_pages_are_served_on_the_loopback_by_default() -> None:
    assert label._parser().parse_args(["serve"]).host == "127.0.0.1"
    assert label._parser().parse_args(["serve", "--host", "10.0.0.1"]).host == "10.0.0.1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("export", "--round", "r7", "--to", "argilla", "x"), "round r7 was never published"),
        (("import", "--round", "r1", "params.yaml"), "params.yaml:1: no format can be recognised"),
        (("import", "--round", "r1", "own.jsonl"), "own.jsonl: is not an export of argilla or label-studio"),
        (
            ("export", "--round", "r1", "--to", "argilla", "--people", "none.yaml", "x"),
            "none.yaml: cannot be read",
        ),
        (
            ("export", "--round", "r1", "--to", "argilla", "--people", "twice.yaml", "x"),
            "twice.yaml: write a line for each person",
        ),
    ],
)
def test_a_failing_command_prints_one_message(
    here: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    Path("own.jsonl").write_text(samples(1)[0].prompt.model_dump_json() + "\n")
    Path("twice.yaml").write_text("labeler-ada: 7\nlabeler-bob: 7\n")
    assert run(*words) == 1
    assert f"label: {message}" in capsys.readouterr().err


def test_behind_a_proxy_a_sign_in_is_counted_by_the_address_of_who_sent_it(here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["label", "serve", "--port", str(port), "--then", ""]
    with subprocess.Popen([sys.executable, "-m", "alignloop", *words], stderr=subprocess.DEVNULL) as server:
        try:
            place, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    httpx.get(f"{place}/health", trust_env=False)
                    break
                time.sleep(0.1)
            for forwarded in ("203.0.113.9", "1.1.1.1, 203.0.113.9"):  # the first is what its sender claims
                headers = {"X-Forwarded-For": forwarded}
                form = {"name": "ada", "password": "wrong"}
                httpx.post(f"{place}/sign-in", data=form, headers=headers, trust_env=False)
        finally:
            server.terminate()
    database = LabelingDatabase(database_url(here))
    with database.reading() as session:
        failed = session.scalars(select(Event).where(Event.action == "sign-in failed")).all()
    database.close()
    assert [event.actor for event in failed] == ["203.0.113.9"] * 2
