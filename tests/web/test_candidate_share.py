"""The candidate responds in a share of the conversations, nobody sees in which; what is said is counted."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from alignloop.core.anytime import Counted
from alignloop.labeling import served_opinions
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.feedback_schema import ResponseComparison
from alignloop.labeling.served_opinions import Compared
from alignloop.labeling.serving_schema import ChatMessage
from alignloop.serving.served_version import ServedVersion
from alignloop.tracking import registry
from alignloop.web.candidate_share import is_candidates
from tests.web.chat_server import CHAMPION, ChatServer, client_of, served_chat
from tests.web.test_chat_feedback import decide, say, shown
from tests.web.test_chat_routes import signed_in

FIRST, SECOND = "alignloop-policy/1", "alignloop-policy/2"


@pytest.fixture
def root(policies: Path) -> Iterator[Path]:
    """The project with its second policy as a candidate whose gates passed."""
    second = registry.find(policies, SECOND)
    registry.set_version_tag(policies, second, "gates", "passed")
    registry.set_alias(policies, "candidate", second)
    yield policies
    registry.set_alias(policies, "champion", registry.find(policies, FIRST))
    registry.delete_alias(policies, "candidate", "alignloop-policy")


@pytest.fixture
def server(root: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(root, database, candidate_share=1.0, compare_share=0.0) as server:
        yield server


def responders(server: ChatServer) -> list[str]:
    with server.database.reading() as session:
        rows = session.scalars(select(ChatMessage).where(ChatMessage.role == "assistant"))
        return [each.model.partition(" ")[0] for each in rows]


def test_a_share_is_the_share_of_conversations_and_stays_with_each():
    candidate = ServedVersion(SECOND, ("candidate",), "hash")
    names = [f"conversation-{number}" for number in range(2000)]
    drawn = [is_candidates(name, candidate, 0.2) for name in names]
    assert 340 < sum(drawn) < 460  # 400 ± 3 standard deviations of 18
    assert drawn == [is_candidates(name, candidate, 0.2) for name in names]
    more = [is_candidates(name, candidate, 0.5) for name in names]
    assert all(later for earlier, later in zip(drawn, more, strict=True) if earlier)
    assert not any(is_candidates(name, candidate, 0.0) for name in names)
    assert all(is_candidates(name, candidate, 1.0) for name in names)


def test_the_candidate_responds_unseen_and_its_thumbs_are_counted(server: ChatServer) -> None:
    with signed_in(server, "ada") as ada:
        id, streamed = say(ada, "Is the sea full of salt?")
        assert responders(server) == [SECOND]
        page = ada.get(f"/chat/c/{id}").text
        assert '<span class="who">alignloop-policy</span>' in page
        assert "candidate" not in streamed
        assert SECOND not in re.sub(r"<select.*?</select>", "", page)  # but where a version is chosen
        response = shown(server, id)[-1].message.id
        ada.post(f"/chat/c/{id}/thumb", json={"response": response, "thumb": "down"})
        chosen, _ = say(ada, "Is the sea full of salt?", model=FIRST)
        assert responders(server) == [SECOND, FIRST]
        assert f'<span class="who">{FIRST} @champion</span>' in ada.get(f"/chat/c/{chosen}").text
        other = shown(server, chosen)[-1].message.id
        ada.post(f"/chat/c/{chosen}/thumb", json={"response": other, "thumb": "up"})
    with server.database.reading() as session:
        blind = served_opinions.blind_thumbs_of_people(session, Compared(SECOND, FIRST))
    assert blind == {SECOND: Counted(1, 0)}


def test_programs_get_the_model_that_they_name(server: ChatServer) -> None:
    from alignloop.labeling import api_keys

    client = client_of(server, api_keys.create(server.database, "ada", api_keys.SCOPES, None, None))
    reply = client.chat.completions.create(
        model=CHAMPION, messages=[{"role": "user", "content": "Is it green?"}], max_tokens=3
    )
    assert reply.model == FIRST


def test_two_responses_are_one_of_each_version_and_the_choice_is_counted(
    root: Path, database: LabelingDatabase
) -> None:
    with (
        served_chat(root, database, candidate_share=1.0, compare_share=1.0) as server,
        signed_in(server, "ada") as ada,
    ):
        decide(ada, "agree")
        id, _ = say(ada, "Is the sea full of salt?")
        assert sorted(responders(server)) == [FIRST, SECOND]
        with database.reading() as session:
            found = session.scalars(select(ResponseComparison)).one()
            left = session.get_one(ChatMessage, found.left).model.partition(" ")[0]
        ada.post(f"/chat/c/{id}/choice", json={"comparison": found.id, "choice": "left"})
    with database.reading() as session:
        counted = served_opinions.choices_of_people(session, Compared(SECOND, FIRST))
    assert counted == (Counted(1, 0) if left == SECOND else Counted(0, 1))


@pytest.mark.parametrize("gates", ["failed", ""])
def test_a_candidate_that_has_not_passed_its_gates_is_not_served(
    root: Path, database: LabelingDatabase, gates: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.set_version_tag(root, registry.find(root, SECOND), "gates", gates)
    with (
        served_chat(root, database, candidate_share=1.0) as server,
        signed_in(server, "ada") as ada,
    ):
        say(ada, "Is the sea full of salt?")
        assert responders(server) == [FIRST]
        server.pool.refresh()
    said = [each.message for each in caplog.records if "is not served to a share" in each.message]
    words = f"its gates say {gates or 'nothing'}"
    assert said == [f"{SECOND} @candidate is not served to a share of the conversations: {words}"]


def test_a_candidate_that_becomes_the_champion_ends_the_comparison(root: Path, server: ChatServer) -> None:
    assert server.pool.candidate()
    registry.set_alias(root, "champion", registry.find(root, SECOND))
    server.pool.refresh()
    assert server.pool.candidate() is None
    with signed_in(server, "ada") as ada:
        id, _ = say(ada, "Is the sea full of salt?")
        assert f'<span class="who">{SECOND} @candidate @champion</span>' in ada.get(f"/chat/c/{id}").text
