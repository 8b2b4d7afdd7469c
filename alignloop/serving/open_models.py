"""The models of the registry, by the engine that `serving.engine` in params.yaml asks for."""

from pathlib import Path

from alignloop.params.serving import Serving
from alignloop.serving.registered_models import RegisteredModels


def open_models(root: Path, prefix: str, plan: Serving) -> RegisteredModels:
    """The models whose names begin with `{prefix}-`; in this process, or behind vLLM servers."""
    if plan.engine == "own":
        return RegisteredModels(root, prefix)
    from alignloop.serving.vllm_models import VllmModels  # httpx takes half a second to import

    return VllmModels(root, prefix, plan)
