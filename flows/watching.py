"""Looks at what people think of the champion, by the deployment `alignloop-watch/thumbs-down`.

A new alarm is an event, `alignloop.thumbs-down`, on which the automation of flows/worker.py acts.
"""

from pathlib import Path

from prefect import flow
from prefect.events import emit_event

from alignloop.commands.watch import watch as look
from tasks.prefect_server import flush_events

ALARM = "alignloop.thumbs-down"


@flow(name="alignloop-watch", flow_run_name="thumbs down", persist_result=False)
def watch() -> str:
    """Compare the champion's thumbs with those of the one before; write the candidate's win rate down."""
    found, is_new = look(Path.cwd())
    if found.rise is None:
        return "no alarm: there is no previous champion to compare with"
    print(found.rise.sentence, flush=True)
    if is_new:
        version = found.rise.champion.version.name
        emit_event(
            ALARM,
            resource={"prefect.resource.id": f"alignloop.model.{version.replace('/', '.')}"},
            payload={"message": found.rise.sentence},
        )
        flush_events()
    return found.rise.sentence
