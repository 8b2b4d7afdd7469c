"""`data forget` removes a user's data everywhere, and marks the models that were trained on it."""

import gzip
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from alignloop.__main__ import main
from alignloop.data.forgotten import ForgottenError, ForgottenUsers
from alignloop.labeling import accounts, assignments, rounds
from alignloop.labeling.assignments import SubmissionContent
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.item_selection import AssignmentSettings
from alignloop.labeling.schema import Event, Labeler
from alignloop.pipeline import dvc_pipeline
from alignloop.records import Prompt, Samples
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import build, opened
from alignloop.tracking import registry
from tests.lineage.conftest import USERS, bring_up_to_date, git, messages, prompt


def user_in(root: Path, split: str) -> int:
    """Return a user of a split."""
    text = (root / f"data/demonstrations/{split}.jsonl").read_text()
    return next(user for user in range(4, USERS) if f'"user-{user}"' in text)


@pytest.fixture
def copy(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project, with a remote that has everything, and a labeling store."""
    root = tmp_path / "project"
    shutil.copytree(built, root, symlinks=True)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    shutil.copytree(root / ".dvc" / "cache", tmp_path / "remote")
    config = (
        f"[core]\n    site_cache_dir = {root}/.dvc/tmp/site\n    remote = away\n"
        f"['remote \"away\"']\n    url = {tmp_path}/remote\n"
    )
    (root / ".dvc" / "config").write_text(config)
    samples = [_samples(user) for user in range(4, USERS)]
    store = LabelingDatabase(database_url(root))
    rounds.publish(store, "r1", samples, overlap=1, enough=1.0, deadline_hours=None)
    store.close()
    return root


def _samples(user: int) -> Samples:
    record = Prompt.model_validate_json(json.dumps(prompt(user, 0)))
    return Samples(
        id=f"s-{user}", prompt=record, responses=("a", "b"), policy="models/sft", round="r1", split="train"
    )


def holding(place: Path, user: int) -> list[str]:
    """Return every file below `place` that has the user's id, in plain text, gzip or a database."""
    mark = f'"user-{user}"'.encode()
    files = [file for file in place.rglob("*") if file.is_file()]
    return [str(file.relative_to(place)) for file in files if mark in _bytes(file)]


def _bytes(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def test_nothing_of_the_user_is_left_and_all_else_stays(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    user = user_in(copy, "train")
    raw = [
        line
        for line in (copy / "data/raw/prompts.jsonl").read_text().splitlines(keepends=True)
        if f'"user-{user}"' not in line
    ]
    before = len((copy / "data/sources/prompts.jsonl").read_text().splitlines())
    index = copy / "data" / "search.sqlite"
    build(index, [Document(f"d{n}", "T", f"by user-{n}", "MIT", f"user-{n}") for n in (user, 99)])
    assert holding(copy / "data", user)
    assert holding(copy / ".dvc" / "cache", user)
    assert holding(tmp_path / "remote", user)
    assert holding(copy / "people", user)
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [
        holding(place, user) for place in (copy / "data", copy / ".dvc", tmp_path / "remote", copy / "people")
    ] == [[], [], [], []]
    assert "removed    3 rows from data/sources/prompts.jsonl" in out
    assert "removed    1 rows from data/sources/ranked.jsonl.gz" in out
    assert "removed    1 rows from data/sources/shown.json" in out
    assert "removed    4 records from data/raw/prompts.jsonl" in out
    assert "removed    1 documents from data/search.sqlite, the search's index" in out
    with opened(index) as left:
        assert left.documents == 1
    assert "removed    0 answers, 0 assignments, 1 items, 0 audit details from the labeling store" in out
    assert (copy / "data/raw/prompts.jsonl").read_text() == "".join(raw)
    assert len((copy / "data/sources/prompts.jsonl").read_text().splitlines()) == before - 3
    assert len(json.loads((copy / "data/sources/shown.json").read_text())) == USERS - 1
    with sqlite3.connect(copy / "people" / "labeling.db") as store:
        assert store.execute("select count(*) from items").fetchone() == (USERS - 5,)


def test_a_conversation_that_a_labeler_wrote_is_found_and_erased_with_its_draft(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    store = LabelingDatabase(database_url(copy))
    settings = AssignmentSettings(10, 0.0, 0.0)
    for name in ("labeler-anna", "labeler-bob"):
        accounts.invite(store, name, "labeler", "test")
        with store.writing() as session:
            session.get_one(Labeler, name).qualified = True
        for number in range(2):
            assignment = assignments.assign_conversation(store, name, settings)
            assert assignment is not None
            turns = [f"secret {number} of {name}", "No."]
            if number:
                assignments.save_draft(store, assignment, name, {"turns": turns}, settings)
            else:
                content = SubmissionContent(messages=messages(*turns))
                assignments.submit(store, assignment, name, content, "g")
    ranked = assignments.assign(store, "labeler-anna", "rank", "work", settings)
    assert ranked is not None
    assignments.submit(store, ranked, "labeler-anna", SubmissionContent(ranks=(1, 2)), "g")
    store.close()
    assert main(["data", "forget", "--user", "labeler-anna"]) == 0
    out = capsys.readouterr().out
    assert "removed    1 answers, 2 assignments, 2 items, 1 audit details from the labeling store" in out
    assert "left       the account labeler-anna, with 1 submissions for other users' prompts:" in out
    everything = b"".join(file.read_bytes() for file in (copy / "people").iterdir())
    assert b"of labeler-anna" not in everything
    assert b"secret 0 of labeler-bob" in everything
    assert b"secret 1 of labeler-bob" in everything
    assert main(["label", "export-demonstrations", "data/sources/labelers.jsonl"]) == 0
    assert "labeler-anna" not in (copy / "data/sources/labelers.jsonl").read_text()


def test_ids_and_reasons_go_from_the_audit_which_stays_append_only(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    user = user_in(copy, "train")
    store = LabelingDatabase(database_url(copy))
    accounts.invite(store, "labeler-anna", "labeler", "test")
    with store.writing() as session:
        session.get_one(Labeler, "labeler-anna").qualified = True
    settings = AssignmentSettings(10, 0.0, 0.0)
    while (assignment := assignments.assign(store, "labeler-anna", "rank", "work", settings)) is not None:
        with store.reading() as session:
            of_user = assignments.assigned_item(session, assignment, "labeler-anna").prompt["user"]
        reason = f"I know {of_user}"
        assignments.submit(store, assignment, "labeler-anna", SubmissionContent(skipped=reason), "g")
    store.close()
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    assert "1 audit details from the labeling store" in capsys.readouterr().out
    store = LabelingDatabase(database_url(copy))
    with store.reading() as session:
        details = [event.details for event in session.scalars(select(Event).where(Event.action == "skip"))]
    assert len(details) == USERS - 4
    assert not any(f"s-{user}-" in str(each) or f"I know user-{user}'" in str(each) for each in details)
    assert {"item": "forgotten", "reason": "forgotten"} in details
    with pytest.raises(DBAPIError, match="append-only"), store.writing() as session:
        session.execute(text("UPDATE audit SET actor = 'eve'"))
    store.close()


def test_reports_and_descriptions_do_not_quote_the_user_any_more(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    user, other = user_in(copy, "test"), user_in(copy, "train")
    quotes = {
        each: f"> What is {each} and 0?\n\n- candidate: of {each}!\n- champion: b" for each in (user, other)
    }
    report = "# Results\n\n**fact**\n\n" + "\n\n".join(
        quote.replace("> ", "> **user** ") for quote in quotes.values()
    )
    artifact = copy / "mlruns/artifacts/1/abc/artifacts/reports/results.md"
    artifact.parent.mkdir(parents=True)
    for file in (copy / "reports/results.md", artifact):
        file.parent.mkdir(exist_ok=True)
        file.write_text(report + "\n\nThe end.\n")
    version = registry.find(copy, "alignloop-policy/1")
    registry.annotate(copy, version, {}, "\n\n".join(["The policy.", *quotes.values(), "Results:"]))
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    out = capsys.readouterr().out
    assert "removed    1 quotes from reports/results.md" in out
    assert "removed    1 quotes from mlruns/artifacts/1/abc/artifacts/reports/results.md" in out
    assert "removed    1 quotes from the description of alignloop-policy/1" in out
    description = registry.find(copy, "alignloop-policy/1").description
    for text_left in ((copy / "reports/results.md").read_text(), artifact.read_text(), description):
        assert f"What is {user} and" not in text_left
        assert f"of {user}!" not in text_left
        assert f"What is {other} and" in text_left
        assert f"of {other}!" in text_left
    assert description.endswith("Results:")
    assert artifact.read_text().endswith("The end.\n")


def test_the_models_trained_on_the_user_are_listed_and_marked(copy: Path, capsys: pytest.CaptureFixture[str]):
    user = user_in(copy, "train")
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    out = capsys.readouterr().out
    mark = ForgottenUsers(copy / "data/forgotten.txt").user_hash(f"user-{user}")
    versions = {version.name: version for version in registry.versions(copy)}
    assert {name: version.forgotten_users for name, version in versions.items()} == dict.fromkeys(
        versions, (mark[:12],)
    )
    assert len(versions) == 3
    for path in ("models/sft", "models/r1/reward", "models/r1/policy"):
        assert f"learned    {path} " in out
    assert f"marked     alignloop-sft/1 in the registry: forgotten:{mark[:12]}" in out
    assert main(["lineage", "alignloop-policy"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("= alignloop-policy/1 (learned from 1 forgotten)")


def test_models_only_measured_on_the_user_are_not_marked(copy: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "forget", "--user", f"user-{user_in(copy, 'test')}"]) == 0
    assert "learned    no model that this MLflow store or dvc.lock knows of" in capsys.readouterr().out
    assert not any(version.forgotten_users for version in registry.versions(copy))


def test_the_next_run_makes_the_sets_without_the_user_even_if_a_source_has_them_again(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    user = user_in(copy, "train")
    source = (copy / "data/sources/prompts.jsonl").read_bytes()
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    assert f'"user-{user}"' not in (copy / "data/forgotten.txt").read_text()
    assert f"user-{user}" not in git(copy, "diff", "HEAD")
    assert dvc_pipeline.pipeline(copy).outdated() == ["ingest", "prepare"]
    (copy / "data/sources/prompts.jsonl").write_bytes(source)
    assert bring_up_to_date(copy) == ["ran", "ran"]
    assert holding(copy / "data", user) == ["sources/prompts.jsonl"]
    counts = json.loads((copy / "metrics/ingest.json").read_text())["sources"]["prompts.jsonl (own)"]
    assert (counts["forgotten"], counts["refused"], counts["kept"], counts["records"]) == (3, 0, 70, 73)
    assert dvc_pipeline.pipeline(copy).outdated() == []
    capsys.readouterr()
    assert main(["data", "diff", "HEAD", "workspace", "--set", "data/demonstrations"]) == 1
    assert "forgotten, or to be fetched" in capsys.readouterr().err
    assert main(["data", "diff", "HEAD", "workspace"]) == 0, "the other sets are compared"
    lines = capsys.readouterr().out.splitlines()
    assert [
        line
        for line in lines
        if line.startswith("data/demonstrations  not compared: ") and "forgotten" in line
    ]
    assert "equal: data/corpus" in lines
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    assert "no model from the versions that can still be read" in capsys.readouterr().out


def test_a_repeated_forget_finishes_the_rest_and_an_unknown_user_changes_nothing(
    copy: Path, capsys: pytest.CaptureFixture[str]
):
    user = user_in(copy, "train")
    remote = copy.parent / "remote"
    remote.rename(copy.parent / "elsewhere")
    config = copy / ".dvc" / "config"
    working = config.read_text()
    config.write_text(working.replace(f"url = {remote}", "url = ssh://127.0.0.1:1/away"))
    dvc_pipeline.pipeline.cache_clear()
    assert main(["data", "forget", "--user", f"user-{user}"]) == 1
    assert capsys.readouterr().err.startswith("data: the remote away: cannot be cleared: ")
    (copy.parent / "elsewhere").rename(remote)
    config.write_text(working)
    dvc_pipeline.pipeline.cache_clear()
    assert main(["data", "forget", "--user", f"user-{user}"]) == 0
    assert holding(remote, user) == []
    assert holding(copy / ".dvc", user) == []
    text = (copy / "data/forgotten.txt").read_text()
    assert text.count("\n") == 3
    assert main(["data", "forget", "--user", "user-999"]) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert (copy / "data/forgotten.txt").read_text() == text


def test_a_damaged_list_of_forgotten_users_stops_ingest(tmp_path: Path):
    file = tmp_path / "forgotten.txt"
    file.write_text("# none\n")
    mark = ForgottenUsers(file).add("anna@example.org")
    assert "anna@example.org" in ForgottenUsers(file)
    assert "bruno@example.org" not in ForgottenUsers(file)
    assert None not in ForgottenUsers(file)
    assert ForgottenUsers(file).add("anna@example.org") == mark
    assert len(ForgottenUsers(file)) == 1
    file.write_text(f"{mark}\n")
    with pytest.raises(ForgottenError, match=r"forgotten.txt:1: must be a comment, or a hash below the salt"):
        ForgottenUsers(file)
    file.unlink()
    with pytest.raises(ForgottenError, match="cannot be read"):
        ForgottenUsers(file)
