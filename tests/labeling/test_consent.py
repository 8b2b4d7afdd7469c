"""Consent is off until given, of the present statement, without a break, and may be withdrawn."""

from pathlib import Path

import pytest
from sqlalchemy import select

from alignloop.data.pii.redaction import kinds_in_id
from alignloop.labeling import consent
from alignloop.labeling.consent import Consent, Statement, StatementChanged, StatementError
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ConsentDecision, ConsentStatement
from tests.conftest import PROJECT

FIRST, SECOND = Statement("May we?", "CC0-1.0"), Statement("May we now?", "CC0-1.0")


def decide(
    database: LabelingDatabase, agreed: bool, statement: Statement = FIRST, owner: str = "ada"
) -> None:
    consent.decide(database, owner, statement, version=statement.version, agreed=agreed)


def of_ada(database: LabelingDatabase, statement: Statement = FIRST) -> Consent:
    with database.reading() as session:
        return consent.consent_of(session, "ada", statement.version)


def decisions(database: LabelingDatabase) -> list[ConsentDecision]:
    with database.reading() as session:
        return list(session.scalars(select(ConsentDecision).order_by(ConsentDecision.id)))


def test_nothing_is_used_before_a_person_agrees_after_they_withdraw_or_when_the_text_changes(
    database: LabelingDatabase,
) -> None:
    for statement in (FIRST, SECOND, FIRST):
        consent.record_statement(database, statement)
    assert of_ada(database) == Consent()
    assert not of_ada(database).covers(2e9)
    decide(database, False)
    assert decisions(database) == []
    decide(database, True)
    decide(database, True)
    [given] = decisions(database)
    assert (given.owner, given.version, given.agreed) == ("ada", FIRST.version, True)
    found = of_ada(database)
    assert found == Consent(given.time)
    assert [found.covers(given.time + step) for step in (-0.001, 0, 1)] == [False, True, True]
    assert of_ada(database, SECOND) == Consent(earlier=True)
    decide(database, True, SECOND)  # without a break: what was said before is covered too
    assert of_ada(database, SECOND) == Consent(given.time)
    decide(database, False, SECOND)
    assert of_ada(database, SECOND) == Consent()
    decide(database, True, SECOND)
    assert of_ada(database, SECOND).since == decisions(database)[-1].time > given.time
    with pytest.raises(StatementChanged):
        consent.decide(database, "bob", SECOND, version=FIRST.version, agreed=True)
    with database.reading() as session:
        assert consent.consents(session, SECOND.version).keys() == {"ada"}
        kept = {each.version: (each.text, each.licence) for each in session.scalars(select(ConsentStatement))}
    assert kept == {each.version: (each.text, each.licence) for each in (FIRST, SECOND)}


def test_a_person_has_one_random_name_that_is_no_personal_data(database: LabelingDatabase) -> None:
    consent.record_statement(database, FIRST)
    for owner in ("ada", "bob"):
        for agreed in (True, False, True):
            decide(database, agreed, owner=owner)
    with database.reading() as session:
        names = consent.pseudonyms(session)
    assert names.keys() == {"ada", "bob"}
    assert len(set(names.values())) == 2
    assert not any(kinds_in_id(name) for name in names.values())
    with database.writing() as session:
        consent.delete_of_owners(session, ["ada"])
    with database.reading() as session:
        assert consent.pseudonyms(session).keys() == {"bob"}
        assert consent.consents(session, FIRST.version).keys() == {"bob"}


def test_the_version_is_that_of_text_and_licence_and_what_is_wrong_with_them_is_named(tmp_path: Path) -> None:
    own = consent.read_statement(PROJECT, "configs/consent.md", "LicenseRef-Chat-Consent")
    assert "withdraw at any time" in own.text
    assert len({FIRST.version, SECOND.version, Statement("May we?", "MIT").version}) == 3
    with pytest.raises(StatementError, match=r"no.md: cannot be read"):
        consent.read_statement(tmp_path, "no.md", "MIT")
    (tmp_path / "empty.md").write_text(" \n")
    with pytest.raises(StatementError, match=r"empty.md: is empty"):
        consent.read_statement(tmp_path, "empty.md", "MIT")
    (tmp_path / "some.md").write_text("Yes?\n")
    with pytest.raises(StatementError, match="'free' is not an SPDX expression"):
        consent.read_statement(tmp_path, "some.md", "free")
