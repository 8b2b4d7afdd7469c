"""What Prefect waits for is asked again soon, and a flow that has ended does not wait for its heartbeats."""

import time
from types import SimpleNamespace

import httpx
import pytest
from prefect import flow_engine
from prefect.client.base import PrefectHttpxSyncClient

from tasks import prefect_waits


@pytest.fixture(autouse=True)
def _shortened() -> None:
    prefect_waits.shorten()


def test_a_request_that_is_refused_is_asked_again_within_a_second() -> None:
    answers = iter([503, 200])
    transport = httpx.MockTransport(lambda _: httpx.Response(next(answers)))
    with PrefectHttpxSyncClient(transport=transport, base_url="http://prefect") as client:
        assert client.get("/").status_code == 200
    assert prefect_waits._seconds(2.0, 0.3) < 1, "Prefect's own first wait is two seconds"


def test_a_server_that_starts_again_has_as_long_as_before() -> None:
    assert sum(prefect_waits._seconds(2.0**number, 0.01) for number in range(1, 9)) > 500


def test_a_flow_does_not_wait_for_the_thread_of_its_heartbeats() -> None:
    beats: list[str] = []
    engine = SimpleNamespace(
        heartbeat_seconds=30,
        flow_run=None,
        logger=SimpleNamespace(debug=lambda *_, **__: None),
        _build_heartbeat_event_template=lambda: ({}, []),
        _emit_flow_run_heartbeat=lambda *_: beats.append("beat"),
    )
    with flow_engine._send_heartbeats(engine):  # pyright: ignore[reportArgumentType]
        while not beats:
            time.sleep(0.01)
        began = time.monotonic()
    assert time.monotonic() - began < 0.9, "the thread looks once a second whether it has to end"
