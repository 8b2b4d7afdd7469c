"""The sampler that `rollout` in params.yaml asks for: this process, or a vLLM server."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from alignloop.core import parallel_passes
from alignloop.core.sampler import OwnSampler, Sampler
from alignloop.params.rollout import RolloutEngine
from alignloop.phases import phase


@contextmanager
def open_sampler(plan: RolloutEngine, model: Path) -> Iterator[Sampler]:
    """The sampler; a server that `rollout.command` starts, on the checkpoint `model`, ends with the block.

    Raises SamplerError.
    """
    if plan.engine == "own":
        yield OwnSampler()
        return
    # httpx takes half a second to import, and most runs need none of this
    from alignloop.inference.http_client import HttpClient
    from alignloop.inference.server_process import ServerProcess
    from alignloop.inference.vllm_sampler import VllmSampler
    from alignloop.inference.weights_folder import WeightsFolder

    with ExitStack() as stack:
        server = None
        if plan.command is not None and parallel_passes.is_writer():  # the other ranks ask nothing
            with phase("starting the inference server"):
                server = stack.enter_context(
                    ServerProcess(plan.command, plan.url, model, plan.start_timeout_s)
                )
        client = HttpClient(
            plan.url,
            timeout_s=plan.timeout_s,
            max_concurrency=plan.max_concurrency,
            died=server.died if server else lambda: None,
        )
        stack.enter_context(closing(client))
        folder = Path(plan.weights_folder) if plan.weights_folder else None
        yield VllmSampler(client, stack.enter_context(WeightsFolder(folder)), plan.max_gap)
