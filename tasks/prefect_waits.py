"""Two waits of Prefect that are longer than what they wait for: they took seconds of every round.

Prefect's server on SQLite refuses a request while it writes, and is free again in a fraction of a second;
the client asks again after two seconds. The thread of a flow's heartbeats looks once a second whether the
flow has ended, and the flow waits for that thread.
"""

from contextlib import AbstractContextManager
from typing import Any

from prefect import flow_engine
from prefect.client import base
from prefect.utilities.math import clamped_poisson_interval

SOON = {2: 0.25, 4: 2.0}  # Prefect's first and second wait in seconds, and what they are here
_heartbeats = flow_engine._send_heartbeats


def _seconds(average: float, factor: float) -> float:
    """How long the client waits before it asks again; the later waits, for a server that restarts, stay."""
    return clamped_poisson_interval(SOON.get(int(average), average), factor)


def _unawaited(engine: Any, join_on_exit: bool = False) -> AbstractContextManager[None]:
    """Heartbeats whose thread is not joined: after its stop is requested it does nothing and ends."""
    return _heartbeats(engine, join_on_exit=False)


def shorten() -> None:
    """Have both waits end when there is nothing more to wait for."""
    base.clamped_poisson_interval = _seconds  # pyright: ignore[reportPrivateImportUsage]
    flow_engine._send_heartbeats = _unawaited
