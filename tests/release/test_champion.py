"""The log of decisions, releases/champion.json and the aliases agree, or the difference is reported."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from alignloop.release import champion, decision_log
from alignloop.release.champion import STATE, DecisionError
from alignloop.release.decision_log import LOG, DecisionLogError
from alignloop.tracking import registry
from alignloop.tracking.registry import RegistryError, Version
from tests.web.candidates import NAME, register

PROJECT = Path(__file__).parents[2]


def aliases(root: Path) -> dict[str, int]:
    return {alias: version.version for version in registry.versions(root) for alias in version.aliases}


def state(root: Path) -> list[str | None]:
    return list(json.loads((root / STATE).read_text()).values())


def forge_entry(root: Path, version: Version) -> None:
    decision_log.append_entry(
        root,
        who="eve",
        action="approve",
        model=f"{NAME}/{version.version} {version.hash}",
        reason="forged",
        gates="passed",
        champion=None,
        previous=None,
    )


def test_decisions_move_the_aliases_and_the_file_and_are_logged(project: Path):
    shutil.copy(PROJECT / ".dvcignore", project)
    a, b, c = (register(project, words) for words in ("a", "b", "c"))
    champion.approve(project, a, "ada", "first")
    assert (aliases(project), state(project)) == ({"champion": 1}, [a.hash, None])
    champion.approve(project, b, "ada", "better")
    assert (aliases(project), state(project)) == ({"champion": 2, "previous": 1}, [b.hash, a.hash])
    champion.reject(project, c, "bob", "worse at\nfacts")
    assert (aliases(project), state(project)) == ({"champion": 2, "previous": 1}, [b.hash, a.hash])
    champion.rollback(project, NAME, "bob", "it swears")
    assert (aliases(project), state(project)) == ({"champion": 1, "previous": 2}, [a.hash, b.hash])
    entries = champion.verify(project, NAME)
    assert [(entry.who, entry.action, entry.model.split()[0], entry.reason) for entry in entries] == [
        ("ada", "approve", f"{NAME}/1", "first"),
        ("ada", "approve", f"{NAME}/2", "better"),
        ("bob", "reject", f"{NAME}/3", "worse at facts"),
        ("bob", "rollback", f"{NAME}/1", "it swears"),
    ]
    assert registry.find(project, f"{NAME}/3").tags["decision"] == "reject by bob: worse at facts"
    assert champion.unlogged_changes(project, NAME) == []
    last = champion.last_decision(project, b.hash)
    assert last
    assert last.number == 2, (
        "a rollback is no new decision about the candidate, so the gates do not approve it again"
    )
    # The champion itself is compared with the previous one, so a decision changes no verdict.
    assert [champion.comparison_hash(project, each.hash) for each in (a, b, c)] == [b.hash, a.hash, a.hash]
    champion.fetch_comparison_model(project, NAME, b.hash, project / ".cache" / "champion")
    assert (project / ".cache" / "champion" / "model.safetensors").read_text() == "a", (
        "the registry's own copy, not the newest bytes"
    )


def test_an_invalid_decision_is_refused_and_not_logged(project: Path):
    a = register(project, "a")
    failed, old = (register(project, words, gates=gates) for words, gates in (("b", "failed"), ("c", "")))
    for version in (failed, old):
        with pytest.raises(DecisionError, match=r"its gates say .*--despite-gates"):
            champion.approve(project, version, "ada", "I like it")
    for who, reason in (("", "why"), ("ada", " ")):
        with pytest.raises(DecisionError, match="a name and a reason"):
            champion.approve(project, a, who, reason)
    with pytest.raises(DecisionError, match="no previous champion to go back to"):
        champion.rollback(project, NAME, "ada", "why")
    with pytest.raises(DecisionError, match="only policies are approved"):
        champion.approve(project, replace(a, name="alignloop-sft"), "ada", "why")
    assert not (project / LOG).exists()
    champion.approve(project, failed, "ada", "I like it", despite_gates=True)
    with pytest.raises(DecisionError, match="is the champion already"):
        champion.reject(project, failed, "ada", "changed my mind")
    [entry] = champion.verify(project, NAME)
    assert entry.gates == "failed"


def test_an_alias_moved_by_hand_is_reported_and_restored(project: Path):
    a, b = register(project, "a"), register(project, "b")
    assert [line.partition(" (")[0] for line in champion.unlogged_changes(project, NAME)] == [
        f"{STATE}: cannot be read"
    ]
    champion.restore(project, NAME, "ada", "a new store")
    assert (champion.unlogged_changes(project, NAME), state(project)) == ([], [None, None])
    registry.set_alias(project, "champion", b)
    assert champion.unlogged_changes(project, NAME)[0].startswith(
        f"the alias 'champion' is {NAME}/2, but the log's last entry (#1 "
    )
    champion.approve(project, a, "ada", "first")
    registry.delete_alias(project, "champion", NAME)
    (project / STATE).write_text("{}")
    changes = champion.unlogged_changes(project, NAME)
    assert [line.partition(", ")[0] for line in changes[:1]] == ["the alias 'champion' is not set"]
    assert changes[1].startswith(f"{STATE}: cannot be read")
    (project / STATE).write_text('{"champion": null, "previous": null}')
    assert champion.unlogged_changes(project, NAME)[1].endswith("changed by hand")
    (project / STATE).unlink()
    with pytest.raises(DecisionError, match=r"champion\.json: cannot be read .*review restore"):
        champion.comparison_hash(project, a.hash)
    champion.restore(project, NAME, "ada", "moved by mistake")
    assert (champion.unlogged_changes(project, NAME), aliases(project)) == ([], {"champion": 1})


def test_a_log_that_was_cut_off_or_rewritten_differs_from_the_seal_in_the_registry(project: Path):
    a, b = register(project, "a"), register(project, "b")
    champion.approve(project, a, "ada", "first")
    champion.approve(project, b, "ada", "second")
    whole = (project / LOG).read_text()
    (project / LOG).write_text(whole.splitlines()[0] + "\n")
    with pytest.raises(
        DecisionLogError, match="entry 2: it is gone, and all after it: the registry has the seal of entry 2"
    ):
        champion.unlogged_changes(project, NAME)
    (project / LOG).unlink()
    for version in (a, b):
        forge_entry(project, version)
    with pytest.raises(DecisionLogError, match="entry 2: the registry has another seal"):
        champion.unlogged_changes(project, NAME)
    (project / LOG).write_text(whole)
    forge_entry(project, a)
    with pytest.raises(DecisionLogError, match="entry 3: the registry does not know it"):
        champion.unlogged_changes(project, NAME)


def test_a_changed_copy_in_the_registry_is_not_accepted_as_the_champion(project: Path):
    a, b = register(project, "a"), register(project, "b")
    champion.approve(project, a, "ada", "first")
    (Path(a.source.removeprefix("file://")) / "model.safetensors").write_text("evil")
    with pytest.raises(RegistryError, match=r"the registry's copy has the hash .*; it was changed"):
        champion.fetch_comparison_model(project, NAME, b.hash, project / ".cache" / "champion")
    assert not (project / ".cache" / "champion").exists()
