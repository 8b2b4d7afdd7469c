"""The accounts and the key with which a module asks the API."""

from collections.abc import Iterator

import pytest

from alignloop.labeling import api_keys
from alignloop.labeling.database import LabelingDatabase


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelingDatabase]:
    opened = LabelingDatabase(f"sqlite:///{tmp_path_factory.mktemp('people')}/labeling.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def key(database: LabelingDatabase) -> str:
    return api_keys.create(database, "all", api_keys.SCOPES, None, None)
