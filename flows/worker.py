"""`python -m flows.worker`: register the deployments of prefect.yaml, and execute their runs here.

One run at a time; further runs wait. Looks at what people think of the champion wait for none. Every run that
fails, and every alarm, is posted to the URL in ALIGNLOOP_WEBHOOK.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from prefect import get_client
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.states import Crashed
from prefect.workers.process import ProcessWorker

from flows.watching import ALARM

POOL = "local"
WATCHING = "watching"  # the queue of runs that take seconds, beside that of the loop
PATIENCE_SECONDS = 600.0
RUN_COMMAND = "python -m prefect.engine"  # Prefect's default loads the flow in an extra process first
FAILURES = "alignloop: a run failed"
MESSAGE = (
    """{"text": {{ ("Alignloop: run " ~ flow_run.name ~ " " ~ flow_run.state.name ~ ". " """
    """~ (flow_run.state.message or "")\n ~ " " ~ flow_run|ui_url)|tojson }}}"""
)
ALARMS = "alignloop: the champion gets more thumbs down"
ALARM_MESSAGE = """{"text": {{ ("Alignloop: " ~ event.payload.message)|tojson }}}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute runs until SIGINT or SIGTERM, which also end the current run."""
    parser = argparse.ArgumentParser("python -m flows.worker", description=__doc__)
    parser.add_argument("--pool", default=POOL, help="the work pool; one worker each: %(default)s")
    pool = parser.parse_args(arguments).pool
    with get_client(sync_client=True) as client:
        _wait_for(client)
        _open_pool(client, pool)
        _mark_crashed(client, pool)
        _deploy(str(client.api_url))
        _report(os.environ.get("ALIGNLOOP_WEBHOOK"))
    print(f"worker of the pool {pool} is ready", flush=True)
    asyncio.run(ProcessWorker(work_pool_name=pool, name=socket.gethostname(), limit=2).start())
    return 0


def _wait_for(client: SyncPrefectClient) -> None:
    began = time.monotonic()
    while error := client.api_healthcheck():
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit(
                f"worker: no Prefect server answers at {client.api_url} ({error}); "
                "start it with `make serve`, or set PREFECT_API_URL"
            )
        time.sleep(0.2)


def _open_pool(client: SyncPrefectClient, pool: str) -> None:
    """Create the work pool, whose runs start in this folder."""
    template = ProcessWorker.get_default_base_job_template()
    properties = template["variables"]["properties"]
    properties["working_dir"]["default"] = str(Path.cwd())
    properties["command"]["default"] = RUN_COMMAND
    client.create_work_pool(
        WorkPoolCreate(name=pool, type="process", base_job_template=template), overwrite=True
    )
    queues = {queue.name for queue in client.read_work_queues(work_pool_name=pool)}
    if WATCHING not in queues:
        client.create_work_queue(WATCHING, work_pool_name=pool)
    for name in ("default", WATCHING):  # one run at a time works on the checkout
        queue = client.read_work_queue_by_name(name, work_pool_name=pool)
        client.update_work_queue(queue.id, concurrency_limit=1)


def _mark_crashed(client: SyncPrefectClient, pool: str) -> None:
    """Mark the runs that a worker left open when it died as Crashed."""
    states = {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}
    pools = WorkPoolFilter.model_validate({"name": {"any_": [pool]}})
    for run in client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"state": states}), work_pool_filter=pools
    ):
        state = Crashed(
            message="its worker ended while it ran; run it again: "
            "it continues with the stage that was running"
        )
        client.set_flow_run_state(run.id, state, force=True)


def _deploy(server: str) -> None:
    """Run `prefect deploy --all` if prefect.yaml has changed; until then, changes on the pages are kept."""
    done = Path(".cache", "deployed")
    flows = b"".join(Path("flows", name).read_bytes() for name in ("pipeline.py", "watching.py"))
    mark = blake2b(
        server.encode() + Path("prefect.yaml").read_bytes() + flows,
        digest_size=8,
    ).hexdigest()
    with suppress(FileNotFoundError):
        if done.read_text(encoding="utf-8") == mark:
            return
    subprocess.run([sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"], check=True)
    done.parent.mkdir(exist_ok=True)
    done.write_text(mark, encoding="utf-8")


def _report(url: str | None) -> None:
    """Create the automations that post failed runs and alarms to the URL; without a URL, delete them."""
    for name in (FAILURES, ALARMS):
        with suppress(ValueError):
            Automation.read(name=name).delete()  # pyright: ignore[reportAttributeAccessIssue]
    if not url:
        return
    block = Webhook(url=url).save("alignloop-failures", overwrite=True)  # pyright: ignore[reportArgumentType]
    trigger = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        match={"prefect.resource.id": "prefect.flow-run.*"},  # pyright: ignore[reportArgumentType]
        match_related={
            "prefect.resource.role": "flow",
            "prefect.resource.name": ["alignloop", "alignloop-watch"],
        },  # pyright: ignore[reportArgumentType]
        posture=Posture.Reactive,
        threshold=1,
    )
    action = CallWebhook(block_document_id=block, payload=MESSAGE)  # pyright: ignore[reportArgumentType]
    Automation(name=FAILURES, trigger=trigger, actions=[action]).create()  # pyright: ignore
    trigger = EventTrigger(expect={ALARM}, posture=Posture.Reactive, threshold=1)
    action = CallWebhook(block_document_id=block, payload=ALARM_MESSAGE)  # pyright: ignore[reportArgumentType]
    Automation(name=ALARMS, trigger=trigger, actions=[action]).create()  # pyright: ignore


if __name__ == "__main__":
    sys.exit(main())
