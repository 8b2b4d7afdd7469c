"""The log of decisions detects every change by hand: the first entry that is not as written is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from alignloop.release import decision_log
from alignloop.release.decision_log import LOG, START, DecisionLogError

Lines = list[str]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of four decisions."""
    for number in range(1, 5):
        with decision_log.lock_log(tmp_path):
            decision_log.append_entry(
                tmp_path,
                who=f"ada {number}",
                action="approve",
                model=f"m/{number} h{number}",
                reason="better “responses”",
                gates="passed",
                champion=f"m/{number} h{number}",
                previous=None,
            )
    return tmp_path


def change(lines: Lines, place: int, **fields: object) -> Lines:
    return [json.dumps(json.loads(line) | fields) if at == place else line for at, line in enumerate(lines)]


def reseal(lines: Lines, place: int, **fields: object) -> Lines:
    """Change an entry and give it the seal of its new content."""
    entry = decision_log.Entry.model_validate(json.loads(lines[place]) | fields)
    return change(lines, place, **fields, seal=decision_log.seal_of(entry))


def test_entries_are_chained_by_their_seals(log: Path):
    entries = decision_log.read_entries(log)
    assert [entry.number for entry in entries] == [1, 2, 3, 4]
    assert [entry.before for entry in entries] == [START, *(entry.seal for entry in entries[:-1])]
    assert entries[0].summary.endswith("ada 1: approve m/1 (gates passed): better “responses”")
    assert decision_log.read_entries(log.parent / "nowhere") == []


@pytest.mark.parametrize(
    ("tamper", "number"),
    [
        (lambda lines: change(lines, 1, reason="worse"), 2),
        (lambda lines: change(lines, 2, who="eve"), 3),
        (lambda lines: change(lines, 0, time="2020-01-01T00:00:00+00:00"), 1),
        (lambda lines: change(lines, 3, champion=None), 4),
        (lambda lines: change(lines, 3, extra="x"), 4),
        (lambda lines: reseal(lines, 1, reason="worse"), 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1),
        (lambda lines: [*lines, lines[3]], 5),
        (lambda lines: [*lines[:2], "", *lines[2:]], 3),
        (lambda lines: [*lines[:3], lines[3][:40]], 4),
    ],
)
def test_the_first_broken_entry_is_named(log: Path, tamper: Callable[[Lines], Lines], number: int):
    lines = (log / LOG).read_text().splitlines()
    (log / LOG).write_text("\n".join(tamper(lines)) + "\n")
    with pytest.raises(DecisionLogError, match=rf"audit\.jsonl, entry {number}: .*git log -p"):
        decision_log.read_entries(log)
    with pytest.raises(DecisionLogError), decision_log.lock_log(log):
        decision_log.append_entry(
            log,
            who="ada",
            action="reject",
            model="m/5 h5",
            reason="no",
            gates="passed",
            champion=None,
            previous=None,
        )
    assert (log / LOG).read_text().splitlines() == tamper(lines), "nothing is added to a broken log"


def test_a_last_line_cut_in_half_is_reported(log: Path):
    text = (log / LOG).read_text()
    (log / LOG).write_text(text[:-30])
    with pytest.raises(DecisionLogError, match="entry 4: it is no entry"):
        decision_log.read_entries(log)
