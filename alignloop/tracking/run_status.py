"""The status of a run that did not finish, and the tag that says why."""

from collections.abc import Mapping

from alignloop.errors import Waiting
from alignloop.tracking.mlflow_store import client

REASONS = {"FAILED": "error", "KILLED": "error", "SCHEDULED": "waiting"}  # a status and its tag
MOST_CHARACTERS = 5000


def status_of(error: BaseException) -> str:
    """Return the status of a run that ended by this error; one that waits for people has not failed."""
    if isinstance(error, Waiting):
        return "SCHEDULED"
    return "FAILED" if isinstance(error, Exception) else "KILLED"


def clear_reason(uri: str, id: str, tags: Mapping[str, str]) -> None:
    """Remove what the last attempt ended by: the run is running again."""
    for tag in {*REASONS.values()} & tags.keys():
        client(uri).delete_tag(id, tag)
