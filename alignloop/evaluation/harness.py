"""Tasks of EleutherAI's lm-evaluation-harness on a policy: numbers with intervals, and every sample.

The package `lm_eval` is the optional extra `harness`. Tasks are YAML files in the folder `harness`, whose
data are files, too: nothing is fetched. https://github.com/EleutherAI/lm-evaluation-harness
"""

import contextlib
import copy
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import datasets
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core import pass_limits
from alignloop.core.metrics import Z, win_rate_of_outcomes
from alignloop.core.models import context_of
from alignloop.errors import AlignloopError
from alignloop.params.evaluate import HarnessTask
from alignloop.phases import phase

FOLDER = Path("harness")  # of task files, relative to the project
Numbers = dict[str, dict[str, dict[str, Any]]]  # by task, by number of shots, by metric


class HarnessError(AlignloopError):
    """A task cannot be run; the message names it."""


@dataclass
class HarnessResults:
    """The numbers, and a line of JSON for each sample of each filter of a task."""

    numbers: Numbers = field(default_factory=dict)
    lines: list[str] = field(default_factory=list[str])


def run_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, HarnessTask],
    *,
    name: str,
    seed: int,
    max_new_tokens: int,
    folder: Path = FOLDER,
) -> HarnessResults:
    """Run every task with each number of shots on a policy, called `name` in the samples.

    Answers are as long as the task says, else `max_new_tokens`; decoding is as the task says, else greedy.
    Shots are drawn from `seed`. Samples that do not fit into the context lose their beginning; they are
    counted as `cut`. Raises HarnessError.
    """
    # the optional extra, which takes seconds
    from lm_eval import simple_evaluate  # pyright: ignore[reportMissingImports]
    from lm_eval.models.huggingface import HFLM  # pyright: ignore[reportMissingImports]
    from lm_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports]

    class Policy(HFLM):  # pyright: ignore[reportUntypedBaseClass]
        @property
        def max_gen_toks(self) -> int:
            return max_new_tokens

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
            self._fit_passes(requests)
            return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> Any:
            self._fit_passes(requests)
            return super().generate_until(requests, disable_tqdm=disable_tqdm)

        def _fit_passes(self, requests: Any) -> None:
            """As many rows in a pass as `compute.tokens_per_pass` allows for the longest."""
            longest = max(_tokens(tokenizer, each.args, max_new_tokens) for each in requests)
            self.batch_size_per_gpu = max(1, pass_limits.current().tokens // min(longest, context))

    context = context_of(model)
    found = HarnessResults()
    with _quiet():
        own = copy.deepcopy(tokenizer)  # the harness gives it a pad token
        policy = Policy(pretrained=model, tokenizer=own, batch_size=1, max_length=context)
        manager = TaskManager(include_path=str(folder), include_defaults=False)
    for task, plan in tasks.items():
        for shots in plan.shots:
            with phase("task", of=f"{task}, {shots} shots, of {name}"), _quiet():
                try:
                    given: Any = simple_evaluate(
                        policy,
                        tasks=[task],
                        num_fewshot=shots,
                        limit=plan.limit,
                        bootstrap_iters=0,
                        apply_chat_template=plan.chat,
                        random_seed=seed % 2**31,
                        numpy_random_seed=seed % 2**31,
                        torch_random_seed=seed % 2**31,
                        fewshot_random_seed=seed % 2**31,
                        task_manager=manager,
                    )
                except AlignloopError:
                    raise
                except MemoryError:
                    raise
                except Exception as error:  # task files are programs of their users
                    said = (str(error).splitlines() or [type(error).__name__])[0]
                    raise HarnessError(
                        f"evaluate.tasks.{task}: the harness fails with {shots} shots: {said}; correct the "
                        f"task file in {folder}/"
                    ) from error
            samples: Sequence[Mapping[str, Any]] = given["samples"][task]
            cut = _cut(samples, tokenizer, context, max_new_tokens)
            numbers = harness_numbers(given["results"][task], samples, cut)
            found.numbers.setdefault(task, {})[str(shots)] = numbers
            found.lines += _lines(name, task, shots, samples)
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness's log and its progress bars from the console: phases say where it is."""
    logger, before = logging.getLogger("lm_eval"), logging.getLogger("lm_eval").level
    bars = datasets.are_progress_bars_disabled()
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
        if not bars:
            datasets.enable_progress_bars()


def harness_numbers(
    results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], cut: int
) -> dict[str, Any]:
    """Each metric with its 95 % interval: Wilson's where samples are 0 to 1, else by their standard error."""
    found: dict[str, Any] = {}
    for key, value in results.items():
        metric, _, filtering = key.partition(",")
        if not filtering or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        of_filter = [each for each in samples if each.get("filter", "none") == filtering]
        values = [each[metric] for each in of_filter if isinstance(each.get(metric), int | float)]
        name = metric if filtering == "none" else f"{metric} {filtering}"
        found[name] = {"value": float(value), **_interval(float(value), list(map(float, values)))}
    return {**found, "samples": len({each["doc_id"] for each in samples}), "cut": cut}


def _interval(value: float, samples: Sequence[float]) -> dict[str, float | None]:
    """The bounds of a metric that is the mean of its samples; None where it is not."""
    if not samples or abs(fmean(samples) - value) > 1e-6:
        return {"low": None, "high": None}
    if min(samples) >= 0 and max(samples) <= 1:
        wins = win_rate_of_outcomes(samples)
        return {"low": wins.low, "high": wins.high}
    spread = sum((each - value) ** 2 for each in samples) / max(1, len(samples) - 1)
    half = Z * sqrt(spread / len(samples))
    return {"low": value - half, "high": value + half}


def _cut(
    samples: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, context: int, answer: int
) -> int:
    """How many samples have a prompt that exceeds the context, with its answer."""
    longest: dict[int, int] = {}
    for each in samples:
        for asked in (
            pair for pair in _asked(each["arguments"]) if pair[0]
        ):  # whole texts are read in pieces
            tokens = _tokens(tokenizer, asked, answer)
            longest[each["doc_id"]] = max(longest.get(each["doc_id"], 0), tokens)
    return sum(tokens > context for tokens in longest.values())


def _tokens(tokenizer: PreTrainedTokenizerBase, asked: Sequence[Any], answer: int) -> int:
    """The tokens of a prompt and of what follows it: a text, or an answer that is drawn."""
    before, after = (asked[0], asked[1]) if len(asked) > 1 else ("", asked[0])
    tokens = len(tokenizer.encode(str(before)))
    if isinstance(after, Mapping):
        return tokens + int(after.get("max_gen_toks", answer))
    return tokens + len(tokenizer.encode(str(after), add_special_tokens=False))


def _asked(arguments: Any) -> Iterator[tuple[str, Any]]:
    """The texts that the model was asked about, each with what follows: a text, or how it is drawn."""
    # samples are logged as {gen_args_0: {arg_0: …, arg_1: …}}
    given = [each.values() for each in arguments.values()] if isinstance(arguments, Mapping) else arguments
    pairs: list[list[Any]] = [list(each) for each in given]
    for pair in pairs:
        yield (pair[0], pair[1]) if len(pair) > 1 else ("", pair[0])


def _lines(name: str, task: str, shots: int, samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line of JSON for each sample: what was asked and said, the target, and its metrics."""
    for each in samples:
        row = {
            "model": name,
            "task": task,
            "shots": shots,
            "id": each["doc_id"],
            "filter": each.get("filter", "none"),
            "prompts": [before for before, _ in _asked(each["arguments"])],
            "responses": each.get("filtered_resps"),
            "target": each.get("target"),
            **{metric: each[metric] for metric in each.get("metrics", ()) if metric in each},
        }
        yield json.dumps(row, ensure_ascii=False, default=str)
