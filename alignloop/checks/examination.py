"""All checks of one checkpoint and these parameters on this machine."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from alignloop.checks import data_lengths, stage_memory, stage_times, step_time
from alignloop.checks.adopted_rounds import check_adopted
from alignloop.checks.chat_turns import check_turns
from alignloop.checks.checkpoint_files import check_files, check_numbers, fetch
from alignloop.checks.data_lengths import SetLengths
from alignloop.checks.disk_space import check_disk
from alignloop.checks.findings import Finding, error
from alignloop.checks.harness_tasks import check_tasks
from alignloop.checks.machine_memory import free_memory
from alignloop.checks.model_passes import Policy, check_model
from alignloop.checks.rule_files import check_rules
from alignloop.checks.score_parts import check_score
from alignloop.checks.server_ids import check_server
from alignloop.checks.step_time import Rates
from alignloop.checks.token_ids import check_ids
from alignloop.checks.tool_functions import check_tools
from alignloop.core import devices, parallel_passes, pass_limits, precision
from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.four_bits import check_library
from alignloop.core.memory_estimate import Usage
from alignloop.core.model_shape import ModelShape, shape_of
from alignloop.core.models import context_of, new_policy, save_policy
from alignloop.core.tokens import train_tokenizer
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.phases import phase
from alignloop.world.builder import make_world

COUNTS = Path("metrics", "prepare.json")


@dataclass
class Examination:
    """What was found; empty where it could not be known."""

    checkpoint: str
    device: str = "cpu"
    shape: ModelShape | None = None
    findings: list[Finding] = field(default_factory=list)
    memory: list[Usage] = field(default_factory=list)
    free: int | None = None
    rates: Rates | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)


def examine(params: Params, checkpoint: str, root: Path, *, times: bool = True) -> Examination:
    """Look at the checkpoint; `times`: run passes of it for some seconds to say how long stages take."""
    with phase("examining", of=checkpoint):
        return _examine(params, checkpoint, root, times=times)


def examine_again(params: Params, checkpoint: str, root: Path, rates: Rates) -> Examination:
    """Say how long stages take with the data as it is prepared now; the model is not loaded again."""
    found = Examination(checkpoint, rates=rates)
    _use(params, found)
    folder = fetch(checkpoint)
    if isinstance(folder, Finding):
        found.findings.append(folder)
        return found
    try:
        tokenizer, context = load_tokenizer(folder), context_of(folder)
    except AlignloopError as fault:
        found.findings.append(error("tokenizer", fault))
        return found
    sets = _lengths(params, found, tokenizer, context, root)
    found.seconds = stage_times.durations(params, rates, sets, _counts(params, sets, root))
    return found


def _examine(params: Params, checkpoint: str, root: Path, *, times: bool) -> Examination:
    found = Examination(checkpoint)
    _use(params, found)
    found.findings += check_score(params, root)
    found.findings += check_rules(params, root)
    found.findings += check_adopted(params, root)
    found.findings += check_tasks(params.evaluate.tasks, root)
    folder, tokenizer = examine_folder(found)
    if found.shape is not None:
        _machine(params, found, root)
    if folder is None or tokenizer is None:
        return found
    found.findings += check_tools(params, tokenizer, root)
    found.findings += check_server(params.rollout, params.decoding, tokenizer)
    if any(
        finding.severity == "error" and finding.check in ("memory", "weights") for finding in found.findings
    ):
        found.findings.append(
            Finding(
                "model", "note", "not loaded: see the errors above", "mend them, and run the doctor again"
            )
        )
        return found
    policy, findings = check_model(str(folder))
    found.findings += findings
    if policy is not None:
        _with_model(params, found, policy, root, times=times)
    return found


def examine_folder(found: Examination) -> tuple[Path | None, PreTrainedTokenizerBase | None]:
    """Look at the checkpoint's files alone; returns its folder and its tokenizer, if they can be read."""
    folder = fetch(found.checkpoint)
    if isinstance(folder, Finding):
        found.findings.append(folder)
        return None, None
    files = check_files(folder)
    found.findings += files
    if any(finding.severity == "error" for finding in files):
        return None, None
    found.findings += check_numbers(folder)
    found.shape = shape_of(folder)
    try:
        tokenizer = load_tokenizer(folder)
    except AlignloopError as fault:
        found.findings.append(error("tokenizer", fault))
        return folder, None
    found.findings += [*check_turns(tokenizer), *check_ids(tokenizer)]
    return folder, tokenizer


def examine_built_in(params: Params, root: Path, folder: Path, *, times: bool = True) -> Examination:
    """Look at the base model that `pretrain` would make: the same sizes and template, its weights random."""
    world = params.ingest.world.model_copy(update={"prompts": 100, "demonstrations": 50, "documents": 2_000})
    documents = make_world(params.seed, world).documents
    texts = [each.text or " ".join(message.content for message in each.messages or ()) for each in documents]
    tokenizer, plan = train_tokenizer(texts, params.pretrain.vocabulary), params.pretrain
    model = new_policy(
        tokenizer, layers=plan.layers, width=plan.width, heads=plan.heads, context=plan.context, seed=0
    )
    save_policy(model, tokenizer, folder)
    found = examine(params, str(folder), root, times=times)
    found.checkpoint = "the built-in base model, before it is trained"
    return found


def _use(params: Params, found: Examination) -> None:
    """Let this process compute as the stages will."""
    try:
        devices.use(params.compute.device)
        found.device = devices.current().type
    except AlignloopError as fault:
        found.findings.append(error("device", fault))
    if params.compute.four_bits:
        try:
            check_library()
        except AlignloopError as fault:
            found.findings.append(error("four bits", fault))
    torch.set_num_threads(params.threads)
    parallel_passes.use(params.parallel_passes)
    precision.use(params.compute.precision)
    pass_limits.use(pass_limits.PassLimits(params.compute.tokens_per_pass, params.compute.head_tokens))


def _machine(params: Params, found: Examination, root: Path) -> None:
    """Memory and disk, by the sizes alone."""
    if found.shape is None:
        return
    found.memory = stage_memory.usages(params, found.shape, found.device)
    found.free = free_memory(found.device)
    found.findings += stage_memory.check_fit(params, found.memory, found.device, found.free)
    found.findings.append(check_disk(params, found.shape, root))


def _with_model(params: Params, found: Examination, policy: Policy, root: Path, *, times: bool) -> None:
    model, tokenizer = policy
    sets = _lengths(params, found, tokenizer, context_of(model), root)
    if times and not found.failed:
        found.rates = step_time.measure(model, tokenizer, params)
        found.findings += [*step_time.check_precision(found.rates), *step_time.check_load(found.rates)]
        found.seconds = stage_times.durations(params, found.rates, sets, _counts(params, sets, root))


def _lengths(
    params: Params, found: Examination, tokenizer: PreTrainedTokenizerBase, context: int, root: Path
) -> dict[str, SetLengths]:
    """The lengths of the prepared sets; what does not fit into the context is added to what was found."""
    try:
        with phase("encoding the prepared data"):
            sets, findings = data_lengths.check_lengths(params, tokenizer, context, root / "data")
    except AlignloopError as fault:
        sets, findings = {}, [error("context", fault)]
    found.findings += findings
    return sets


def _counts(params: Params, sets: Mapping[str, SetLengths], root: Path) -> dict[str, int]:
    """The records of the prepared sets by "set/split"; of the built-in environment also before they are."""
    with suppress(OSError, ValueError):
        tallies = json.loads((root / COUNTS).read_text(encoding="utf-8"))
        return {
            f"{name}/{split}": number
            for name, splits in tallies.items()
            if isinstance(splits, dict)
            for split, number in splits.items()
            if isinstance(number, int)
        }
    if not params.ingest.makes_world:
        return {}
    share = 1 - params.prepare.valid_share - params.prepare.test_share
    return {"demonstrations/train": round(params.ingest.world.demonstrations * share)}
