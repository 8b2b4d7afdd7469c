"""API keys: stored as hashes, with scopes, and with limits that the next minute or day lifts."""

import pytest
from sqlalchemy import select

from alignloop.labeling import api_keys
from alignloop.labeling.api_keys import ApiKeyError, InvalidKey, LimitExceeded, MissingScope, Scope
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.schema import Event
from alignloop.labeling.serving_schema import ApiKey, ApiUse

NOON = 1_800_014_400.0  # a full minute


def create(database: LabelingDatabase, *scopes: Scope, per_minute: int | None = None, per_day=None) -> str:
    return api_keys.create(database, "k", scopes or api_keys.SCOPES, per_minute, per_day)


def test_a_key_is_stored_as_a_hash_and_shown_once(database: LabelingDatabase) -> None:
    key = create(database)
    with database.reading() as session:
        [stored] = session.scalars(select(ApiKey))
        assert key.removeprefix("al-") not in str(vars(stored))
        assert [event.action for event in session.scalars(select(Event))] == ["create API key"]
    assert api_keys.use(database, key, "chat").key == "k"
    with pytest.raises(ApiKeyError, match="k already"):
        create(database)


@pytest.mark.parametrize("wrong", ["", "al-", "al-x", "\ud800"])
def test_a_wrong_or_revoked_key_is_refused(database: LabelingDatabase, wrong: str) -> None:
    key = create(database)
    with pytest.raises(InvalidKey):
        api_keys.use(database, wrong, "chat")
    api_keys.revoke(database, "k")
    with pytest.raises(InvalidKey):
        api_keys.use(database, key, "chat")
    with pytest.raises(ApiKeyError, match="no key k"):
        api_keys.revoke(database, "k")


def test_a_key_may_do_what_its_scopes_say(database: LabelingDatabase) -> None:
    key = create(database, "models")
    api_keys.use(database, key, "models")
    with pytest.raises(MissingScope, match="no scope 'chat'; it has models"):
        api_keys.use(database, key, "chat")


def test_requests_are_limited_by_the_minute_and_by_the_day(database: LabelingDatabase) -> None:
    key = create(database, per_minute=2, per_day=3)
    assert [api_keys.use(database, key, "chat", NOON + second).left for second in (0, 59)] == [1, 0]
    with pytest.raises(LimitExceeded, match="its 2 requests of this minute") as refused:
        api_keys.use(database, key, "chat", NOON + 50)
    assert refused.value.seconds == 10
    assert api_keys.use(database, key, "chat", NOON + 60).left == 0
    with pytest.raises(LimitExceeded, match="its 3 requests of this day"):
        api_keys.use(database, key, "chat", NOON + 120)
    assert api_keys.use(database, key, "chat", NOON + 86400).left == 1
    with database.reading() as session:
        assert len(list(session.scalars(select(ApiUse)))) == 2  # of past windows none is kept
