"""A database that is full or held by another program: the page says so, and nothing is lost or half saved."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from sqlalchemy import event

from alignloop.labeling.database import LabelingDatabase
from tests.web.conftest import SignedInClient, publish


def test_a_database_that_another_program_holds_is_reported_and_sending_again_works(
    app: FastAPI, database: LabelingDatabase, tmp_path: Path
) -> None:
    publish(database)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    event.listen(database.engine, "connect", lambda made, _: made.execute("PRAGMA busy_timeout=100"))
    database.engine.dispose()
    with closing(sqlite3.connect(tmp_path / "people/labeling.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        held = ada.submit(f"/item/{assignment}/skip", words="unclear")
        other.execute("ROLLBACK")
    assert held.status_code == 503
    assert "Nothing was saved" in held.text
    assert ada.submit(f"/item/{assignment}/skip", words="unclear").status_code == 200


def test_a_full_disk_is_reported_and_nothing_is_lost_or_saved_in_part(
    app: FastAPI, database: LabelingDatabase
) -> None:
    publish(database, 40)
    ada = SignedInClient(app, database, "ada")
    assignment = ada.work()
    ada.rate(assignment)
    with database.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    database.engine.dispose()

    def listen(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(database.engine, "connect", listen)
    full = ada.submit(f"/item/{assignment}/skip", words="long " * 100)
    while full.status_code == 200:
        assignment = ada.work()
        full = ada.submit(f"/item/{assignment}/skip", words="long " * 100)
    assert full.status_code == 507
    assert "Nothing was saved: the disk is full" in full.text
    database.engine.dispose()
    event.remove(database.engine, "connect", listen)
    assert (
        "Rate response" in ada.get(f"/item/{assignment}").text
        or "Rank the responses" in ada.get(f"/item/{assignment}").text
    )
    assert ada.submit(f"/item/{assignment}/skip", words="long " * 100).status_code == 200
