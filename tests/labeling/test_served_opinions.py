"""Opinions by version: each person counts once, by the first; counts outlive deleted conversations."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, select, text

from alignloop.core.anytime import Counted
from alignloop.labeling import conversations, feedback, served_opinions
from alignloop.labeling import database as module
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ResponseComparison, ServedOpinion
from alignloop.labeling.served_opinions import Compared
from tests.labeling.test_conversations import begin

ASKED = "m@champion"


def respond(database: LabelingDatabase, owner: str, id: str, prompt: int, model: str, text: str) -> int:
    more: Any = {"state": "complete", "left_out": 0}
    return conversations.add_response(
        database, owner, id, parent=prompt, content=text, model=f"{model} @champion", **more
    )


def rate(database: LabelingDatabase, owner: str, model: str, is_up: bool | None) -> tuple[str, int]:
    """A thumb in a conversation of its own."""
    id, prompt, _ = begin(database, owner)
    response = respond(database, owner, id, prompt, model, "Yes.")
    feedback.rate(database, owner, id, response, is_up=is_up)
    return id, response


def people(database: LabelingDatabase, asked: str = ASKED) -> dict[str, Counted]:
    with database.reading() as session:
        return served_opinions.thumbs_of_people(session, asked)


def test_each_person_counts_once_for_a_version_by_the_first_thumb(database: LabelingDatabase) -> None:
    rate(database, "ada", "m/1", True)
    rate(database, "ada", "m/1", False)
    rate(database, "bob", "m/1", False)
    rate(database, "ada", "m/2", False)
    assert people(database) == {"m/1": Counted(1, 1), "m/2": Counted(1, 0)}
    with database.reading() as session:
        assert served_opinions.thumbs(session) == {"m/1": Counted(2, 1), "m/2": Counted(1, 0)}


def test_a_changed_thumb_changes_the_count_and_one_taken_back_lets_the_next_count(
    database: LabelingDatabase,
) -> None:
    id, response = rate(database, "ada", "m/1", True)
    rate(database, "ada", "m/1", False)
    feedback.rate(database, "ada", id, response, is_up=False)
    assert people(database) == {"m/1": Counted(1, 0)}
    feedback.rate(database, "ada", id, response, is_up=True)
    assert people(database) == {"m/1": Counted(0, 1)}
    feedback.rate(database, "ada", id, response, is_up=None)
    assert people(database) == {"m/1": Counted(1, 0)}


def test_who_has_chosen_a_version_does_not_count_for_those_who_have_not(database: LabelingDatabase) -> None:
    id, prompt, _ = begin(database)
    conversations.change(database, "ada", id, model="m/1")
    response = respond(database, "ada", id, prompt, "m/1", "Yes.")
    feedback.rate(database, "ada", id, response, is_up=False)
    assert people(database) == {}
    assert people(database, "m/1") == {"m/1": Counted(1, 0)}


def test_thumbs_while_two_versions_are_compared_are_counted_apart(database: LabelingDatabase) -> None:
    rate(database, "ada", "m/1", False)  # before
    compared = Compared("m/2", "m/1")
    for model, is_up in (("m/1", False), ("m/2", True), ("m/3", False)):
        id, response = rate(database, "ada", model, None)
        feedback.rate(database, "ada", id, response, is_up=not is_up, compared=compared)
        feedback.rate(database, "ada", id, response, is_up=is_up, compared=compared)
    with database.reading() as session:
        blind = served_opinions.blind_thumbs_of_people(session, compared)
    assert blind == {"m/1": Counted(1, 0), "m/2": Counted(0, 1)}
    assert people(database) == {"m/1": Counted(1, 0), "m/2": Counted(0, 1), "m/3": Counted(1, 0)}


def test_a_deleted_conversation_leaves_its_counts_and_nobody_to_whom_they_lead(
    database: LabelingDatabase,
) -> None:
    id, _ = rate(database, "ada", "m/1", False)
    conversations.delete_conversation(database, "ada", id)
    assert people(database) == {"m/1": Counted(1, 0)}
    with database.reading() as session:
        [row] = session.scalars(select(ServedOpinion))
    assert row.message is None


@pytest.mark.parametrize(("choice", "wins"), [("left", 0), ("right", 1), ("tie", 0.5), ("neither", 0.5)])
def test_choices_between_two_versions_count_for_either_side(
    database: LabelingDatabase, choice: Any, wins: float
) -> None:
    for owner, models in (("ada", ("m/1", "m/2")), ("bob", ("m/2", "m/1")), ("cy", ("m/1", "m/1"))):
        id, prompt, _ = begin(database, owner)
        sides = [
            respond(database, owner, id, prompt, model, f"{place}") for place, model in enumerate(models)
        ]
        feedback.begin_comparison(database, owner, id, *sides)
        with database.reading() as session:
            query = select(ResponseComparison.id).where(ResponseComparison.conversation == id)
            comparison = session.scalars(query).one()
        mirrored: Any = {"left": "right", "right": "left"}.get(choice, choice)
        said = choice if owner == "ada" else mirrored
        feedback.choose(database, owner, id, comparison, said)
    with database.reading() as session:
        for compared, expected in ((Compared("m/2", "m/1"), wins), (Compared("m/1", "m/2"), 1 - wins)):
            counted = served_opinions.choices_of_people(session, compared)
            assert counted == Counted(2 * expected, 2 - 2 * expected)
        assert served_opinions.choices_of_people(session, Compared("m/2", "m/3")) == Counted(0, 0)


def test_thumbs_of_an_earlier_version_of_the_database_are_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/labeling.db"
    engine = create_engine(url)
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        for number, (owner, is_up) in enumerate((("ada", 0), ("ada", 1), ("bob", 1)), start=1):
            rows = {
                "conversations (id, owner, title, model, system, sampling, created, updated)": (
                    f"'c{number}', '{owner}', '', '{ASKED}', '', '{{}}', 1, 1"
                ),
                "chat_messages (id, conversation, role, content, model, state, left_out, created)": (
                    f"{number}, 'c{number}', 'assistant', 'Yes.', 'm/1', 'complete', 0, 1"
                ),
                "response_feedback (id, message, kind, is_up, text, model, time)": (
                    f"{number}, {number}, 'thumb', {is_up}, '', 'm/1', {number}"
                ),
            }
            for table, values in rows.items():
                connection.execute(text(f"INSERT INTO {table} VALUES ({values})"))
    engine.dispose()
    database = LabelingDatabase(url)
    assert people(database) == {"m/1": Counted(1, 1)}
    with database.reading() as session:
        assert served_opinions.thumbs(session) == {"m/1": Counted(1, 2)}
    database.close()
