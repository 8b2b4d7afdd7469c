"""A teacher's demonstrations: what is asked, what is written, what it costs, and what stops a run."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop import params as parameters
from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.record_files import read
from alignloop.params.binding import bind
from alignloop.records import Demonstration, Prompt
from alignloop.stages.ingest import ingest
from alignloop.teacher.journal import FOLDER, erase_user
from alignloop.teacher.plan import KEY_VARIABLE
from tests.chat_server import Canned, ChatServer
from tests.teacher.conftest import PROJECT, asked, distill, write, written

TERMS = "LicenseRef-Terms-Of-My-Teacher"
PlanFile = Callable[..., Path]


def ingested(here: Path, **changes: Any) -> dict[str, Any]:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values["ingest"].update({"source": "files", **changes})
    places = (here / "data" / name for name in ("sources", "forgotten.txt", "raw", "ingest.json"))
    list(bind(ingest, parameters.parse(values, "params.yaml"))(*places))
    return json.loads((here / "data" / "ingest.json").read_text(encoding="utf-8"))


def test_answers_become_a_source_with_provenance_and_without_personal_data(
    here: Path, server: ChatServer, plan: PlanFile, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-secret")
    server.first = ["Salt: call +44 20 7946 0958."]
    price = {"prompt": 1000.0, "reply": 2000.0, "currency": "EUR"}
    assert distill(plan(teacher={"system": "Be short."}, budget={"price": price})) == 0
    assert asked(server) == ["Why is the sea salty?", "Write to <EMAIL>, please.", "Name a colour."]
    assert {body["messages"][0]["content"] for body in server.asked} == {"Be short."}
    assert set(server.keys) == {"Bearer a-secret"}
    [journal] = (here / FOLDER).iterdir()
    assert b"7946 0958" not in journal.read_bytes()
    assert b"Salt: call <PHONE>." in journal.read_bytes()
    first, second, _ = written(here)
    assert [turn.content for turn in first.messages] == [
        "Why is the sea salty?",
        "Salt: call <PHONE>.",
    ]
    assert second.labeler == "teacher-org-big"
    teacher = second.teacher
    assert teacher is not None
    assert (teacher.name, teacher.model, teacher.fingerprint) == ("org/big", "big-1", "fp_1")
    assert (teacher.way, teacher.terms) == ("answers", TERMS)
    sent = json.dumps(server.asked[1]["messages"], sort_keys=True)
    assert teacher.prompt_sha256 == sha256(sent.encode()).hexdigest()
    said = capsys.readouterr().out
    # a token has a byte at least: 21 + 25 + 14 of the prompts, 3 x 9 of the system message, 16 for each of
    # the six messages, 3 x 512 of the replies
    assert "at most 3 requests, 1,719 tokens, EUR 3.2" in said
    assert "this run: 3 requests, 0 replies from the journal, 54 tokens (33 of prompts), EUR 0.0750" in said
    assert "2 spans of personal data were redacted" in said
    everything = [file for file in here.rglob("*") if file.is_file()]
    assert not any(b"a-secret" in file.read_bytes() for file in everything)

    counts = ingested(here)
    assert counts["licences"] == {TERMS: 3}
    raw = read(here / "data" / "raw" / "demonstrations.jsonl", Demonstration)
    assert [each.teacher for each in raw] == [each.teacher for each in written(here)]
    assert raw[0].origin is not None
    assert raw[0].origin.licence == TERMS
    assert len(read(here / "data" / "raw" / "prompts.jsonl", Prompt)) == 3
    with pytest.raises(Exception, match=rf'states MIT; write "teacher.jsonl": {TERMS} before that pattern'):
        ingested(here, licences={"*": "MIT"})
    other = (here / "data" / "sources" / "teacher.jsonl").read_text().replace(TERMS, "MIT", 1)
    (here / "data" / "sources" / "teacher.jsonl").write_text(other)
    with pytest.raises(Exception, match=r"2 of 3 records.*keep one licence per file"):
        ingested(here)


def test_a_killed_run_is_resumed_to_the_request(here: Path, server: ChatServer, plan: PlanFile) -> None:
    file = plan(prompts="many.jsonl", teacher={"max_concurrency": 2})
    write(here / "many.jsonl", *(f"Question {number}?" for number in range(12)))
    process: list[subprocess.Popen[bytes]] = []
    reply = server.reply

    def killing(body: dict[str, Any]) -> Canned:
        if len(server.asked) >= 7 and process[0].poll() is None:
            os.kill(process[0].pid, signal.SIGKILL)
        return reply(body)

    server.reply = killing
    code = f"from alignloop.commands.distill import command; command([{str(file)!r}])"
    process.append(
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(PROJECT)})
    )
    assert process[0].wait() == -signal.SIGKILL
    server.reply = reply
    assert not (here / "data" / "sources").exists()
    [journal] = (here / FOLDER).iterdir()
    before = journal.read_bytes()
    known = before.count(b'{"reply"')
    assert known >= 5
    with journal.open("ab") as torn:
        torn.write(b'{"reply": "half a li')
    first = len(server.asked)
    assert distill(file) == 0
    assert len(server.asked) - first == 12 - known
    assert [each.messages[0].content for each in written(here)] == [f"Question {n}?" for n in range(12)]
    assert journal.read_bytes().startswith(before)
    assert distill(file) == 0
    assert len(server.asked) - first == 12 - known


def test_a_budget_ends_a_run_and_a_larger_one_continues_it(
    here: Path, server: ChatServer, plan: PlanFile, capsys: Any
) -> None:
    server.first = [503]  # a request as well
    assert distill(plan(budget={"max_requests": 3}), "--dry-run") == 0
    assert not server.asked
    assert distill(plan(budget={"max_requests": 3})) == 0
    assert len(server.asked) == 3
    assert len(written(here)) == 2
    assert "the budget is reached: 1 were not asked" in capsys.readouterr().out
    assert distill(plan(budget={"max_requests": 4})) == 0
    assert (len(server.asked), len(written(here))) == (4, 3)
    assert "all runs: 4 of 4 requests, 54 tokens" in capsys.readouterr().out

    new = {"out": "data/sources/other.jsonl"}
    # the shortest prompt has 14 bytes, 16 around them, and 30 tokens of reply
    bounds = {"teacher": {"max_reply_tokens": 30}, "budget": {"max_tokens": 59}}
    assert distill(plan(**new, **bounds)) == 1
    assert "leave no request: 0 requests and 0 tokens are spent" in capsys.readouterr().err
    assert not (here / "data" / "sources" / "other.jsonl").exists()
    bounds["budget"]["max_tokens"] = 60
    assert distill(plan(**new, **bounds)) == 0
    assert len(read(here / "data" / "sources" / "other.jsonl", Demonstration)) == 1


REFUSAL = {"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}


def test_replies_that_are_no_answer_are_counted_and_a_larger_limit_asks_again(
    here: Path, server: ChatServer, plan: PlanFile, capsys: Any
) -> None:
    write(here / "prompts.jsonl", "One?", "Two?", "Three?", "Four?", "Five?", "Six?", "Seven?")
    cut = {"choices": [{"message": {"content": "Half a"}, "finish_reason": "length"}]}
    at_most = {"choices": [{"message": {"content": "Half a"}, "finish_reason": "MAX_TOKENS"}]}
    page = " <!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
    server.first = ["I'm sorry, but no.", {"choices": [REFUSAL]}, cut, "  \n", at_most, page]
    assert distill(plan()) == 0
    said = capsys.readouterr().out
    assert "left out: 2 refused: correct the prompts" in said
    assert "2 truncated: raise teacher.max_reply_tokens" in said
    assert "1 empty: " in said
    assert "1 page: a gateway's page of an error is no answer" in said
    assert [each.messages[0].content for each in written(here)] == ["Seven?"]
    assert distill(plan(teacher={"max_reply_tokens": 1024})) == 0
    assert asked(server)[7:] == ["Three?", "Five?"]
    assert distill(plan(teacher={"max_reply_tokens": 1024}), "--again") == 0
    assert asked(server)[9:] == ["One?", "Two?", "Four?", "Six?"]
    assert len(written(here)) == 7


def test_a_prompt_that_the_server_rejects_is_left_out_and_what_is_no_text_is_made_one(
    here: Path, server: ChatServer, plan: PlanFile, capsys: Any
) -> None:
    server.about = {"model": "big\x1b[2J", "system_fingerprint": "x" * 999}
    server.first = [400, "Half of a pair: \ud83d, and \0 nothing."]
    assert distill(plan()) == 0
    said = capsys.readouterr().out
    assert "left out: 1 rejected: http://127.0.0.1" in said
    assert "returned status 400" in said
    assert "\x1b" not in said
    first, _ = written(here)
    assert first.messages[-1].content == "Half of a pair: ?, and  nothing."
    assert first.teacher is not None
    assert (first.teacher.model, first.teacher.fingerprint) == ("big?[2J", "x" * 200)
    server.first = [400] * 3
    assert distill(plan(out="data/sources/other.jsonl")) == 1
    assert "the teacher gave no demonstration (3 rejected: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "about", "message"),
    [
        ([b"<html>Sign in</html>"], {}, "a web page (HTML)"),
        (
            ["One."],
            {"model": "big-2"},
            "the teacher org/big was the model big-1 and is now big-2; name the version",
        ),
        ([500] * 4, {}, "returned status 500, 4 times"),
        ([""] * 3, {}, "the teacher gave no demonstration (3 empty"),
        (
            [{"choices": [{"message": {"content": 7}}]}] * 4,
            {},
            "gave no text, 4 times: message.content is '7'",
        ),
    ],
)
def test_a_teacher_that_does_not_teach_is_one_message_and_nothing_is_written(
    here: Path,
    server: ChatServer,
    plan: PlanFile,
    capsys: Any,
    first: list[Canned],
    about: dict[str, str],
    message: str,
) -> None:
    server.first = [{"model": "big-1", **item} if isinstance(item, dict) else item for item in first]
    reply = server.reply
    server.reply = lambda body: {"choices": [{"message": {"content": reply(body)}}], **about}
    if about:
        server.first = [{"choices": [{"message": {"content": "One."}}]}]
    assert distill(plan()) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("distill: ")
    assert message in line
    assert not (here / "data" / "sources").exists()
    if about:  # what was paid for is not lost
        assert distill(plan(budget={"max_requests": 2})) == 0
        assert len(written(here)) == 1


def test_a_teacher_whose_replies_are_mostly_left_out_is_stopped_early(
    here: Path, server: ChatServer, plan: PlanFile, capsys: Any
) -> None:
    write(here / "prompts.jsonl", *(f"Question {number}?" for number in range(80)))
    server.reply = lambda body: ""
    assert distill(plan(max_left_out=0.1)) == 1
    assert "20 of 20 replies are left out, more than max_left_out (0.1): 20 empty" in capsys.readouterr().err
    assert len(server.asked) < 80


def test_forgotten_users_are_not_asked_about_and_their_replies_are_erased(
    here: Path, server: ChatServer, plan: PlanFile, capsys: Any
) -> None:
    rows = [
        {
            "id": f"p{n}",
            "messages": [{"role": "user", "content": f"Question {n}?"}],
            "user": f"u{n}",
            "source": "s",
        }
        for n in range(3)
    ]
    write(here / "prompts.jsonl", *rows)
    assert distill(plan()) == 0
    [journal] = (here / FOLDER).iterdir()
    with journal.open("ab") as torn:
        torn.write(b'{"reply": "half a li')
    assert erase_user(here, {"u1"}) == 1
    assert b"Question 1" not in journal.read_bytes()
    assert b"Question 2" in journal.read_bytes()
    ForgottenUsers(here / "data" / "forgotten.txt").add("u1")
    capsys.readouterr()
    assert distill(plan()) == 0
    said = capsys.readouterr().out
    assert "left out: 1 of forgotten users" in said
    assert "this run: 0 requests, 2 replies from the journal" in said
    assert "all runs: 3 of 1,000 requests, 54 tokens" in said
    assert [each.user for each in written(here)] == ["u0", "u2"]


def test_each_plan_has_a_journal_of_its_own_and_one_of_before_is_found(
    here: Path, server: ChatServer, plan: PlanFile
) -> None:
    for out in ("a_b.jsonl", "a-b.jsonl", "a/b.jsonl", "a-b.jsonl", "./a_b.jsonl"):
        assert distill(plan(out=out)) == 0
    journals = sorted((here / FOLDER).iterdir())
    assert len(journals) == 3
    assert len(server.asked) == 9
    journals[0].rename(here / FOLDER / "a-b.jsonl")
    for out in ("a_b.jsonl", "a-b.jsonl", "a/b.jsonl"):
        distill(plan(out=out))
    assert len(list((here / FOLDER).iterdir())) == 3
