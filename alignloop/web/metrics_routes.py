"""`/metrics`: the server's numbers in Prometheus' text format.

It is open to programs of this machine as long as `serving.url` is an address of it; else it takes a key with
the scope `metrics`.
"""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from alignloop.web.api_routes import answered
from alignloop.web.local_requests import is_local
from alignloop.web.serving_metrics import ServingMetrics

router = APIRouter()


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """All numbers."""
    return await (_numbers(request) if is_local(request) else answered(request, "metrics", _numbers))


async def _numbers(request: Request) -> Response:
    counts: ServingMetrics = request.app.state.metrics
    headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST}
    texts = [await run_in_threadpool(generate_latest, each) for each in (counts.registry, counts.counted)]
    return Response(b"".join(texts), headers=headers)
