"""Makes a process that runs a stage deterministic: seeds, threads, devices and kernels of its libraries."""

import os
import random
import sys

from alignloop.params import Params
from alignloop.seeds import seed_of


def make_deterministic(params: Params, name: str) -> None:
    """Set seeds, threads and deterministic kernels of the libraries that the stage has imported."""
    seed = seed_of(params.seed, name)
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        from alignloop.core import devices, parallel_passes, pass_limits, precision

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.set_num_threads(params.threads)
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        parallel_passes.use(_passes_at_a_time(params))
        devices.use(params.compute.device)
        precision.use(params.compute.precision)
        pass_limits.use(pass_limits.PassLimits(params.compute.tokens_per_pass, params.compute.head_tokens))
    if transformers := sys.modules.get("transformers"):
        transformers.utils.logging.disable_progress_bar()


def _passes_at_a_time(params: Params) -> int:
    """This process's share of its host's passes at a time; those of sharded models come one by one."""
    from alignloop.core import parallel_passes

    ranks = parallel_passes.ranks()
    if ranks is None:
        return params.parallel_passes
    return 1 if ranks.in_turns else max(1, params.parallel_passes // ranks.on_this_host)
