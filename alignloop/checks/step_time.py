"""How fast a checkpoint's passes are on this machine: tokens learned, read and drawn a second.

All measurements together take about BUDGET seconds of processors, whatever the size of the checkpoint: a pass
of few rows is measured, and one of more rows is reckoned from it in a straight line.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.checks.findings import Finding
from alignloop.checks.processor_time import BUSY, Spent, spent
from alignloop.core import devices, precision
from alignloop.core.generate import sample
from alignloop.core.lm_training import accumulate_gradients, mean_loss
from alignloop.core.models import context_of, token_rules, vocabulary_of
from alignloop.core.tokens import Encoded, pad_of
from alignloop.params import Params
from alignloop.phases import phase

BUDGET = 10.0  # seconds of processors; on a GPU by the clock
LEARNED, OTHERWISE = 0.35, 0.25  # shares of it
READ, DRAWN = 0.15, 0.25
ROW, PROMPT = 64, 2  # tokens of the rows, and of the prompts
DRAWN_TOKENS = 4  # after each prompt, whose own pass gives the first: so many passes
MOST_ROWS = 256
CHEAP = 0.1  # of a measurement's share: a pass that warms up and takes less is done again
WORTH_SAYING = 1.3  # times as fast, from which the other precision is named


@dataclass(frozen=True)
class Rates:
    """Tokens a second on idle cores: learned from, read without learning, and drawn.

    `drawn` counts rows that are decoded together; a step takes `step` seconds more, however few they are.
    """

    learned: float
    read: float
    drawn: float
    learned_otherwise: float  # in the precision that is not set: `compute.precision`
    step: float = 0.0
    slowdown: float = 1.0  # times as long as this takes now, beside what else runs on this machine


@dataclass(frozen=True)
class Line:
    """Seconds of some rows: `fixed` and so many for each; each row's tokens; and how many were measured."""

    fixed: float
    row: float
    tokens: float
    measured: int

    def rate(self, rows: int) -> float:
        """Tokens a second of so many rows, or of as many as were measured if that are more."""
        rows = max(rows, self.measured)
        return rows * self.tokens / (self.fixed + rows * self.row)


class Measuring:
    """Measures within a budget, and adds up what the measurements took."""

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._by_clock = devices.current().type != "cpu"
        self._wall = self._idle = 0.0

    @property
    def slowdown(self) -> float:
        """How many times as long as on idle cores it took by the clock."""
        return self._wall / self._idle if self._idle else 1.0

    def line(self, work: Callable[[int], int], most: int, share: float) -> Line:
        """Measure `work`, which takes a number of rows and returns their tokens, on `most` rows or fewer."""
        allowed = share * self._budget
        took, tokens = self._once(work, 1)
        used = took.cpu
        if used < CHEAP * allowed:  # it warmed up
            took, tokens = self._once(work, 1)
            used += took.cpu
        rows = 1
        first = last = took
        while (more := _more_rows(rows, most, last.cpu, allowed - used)) > rows:
            last, tokens = self._once(work, more)
            rows, used = more, used + last.cpu
        each = last.idle / rows
        if rows > 1:  # noise must not make more rows cheaper than none
            each = min(max((last.idle - first.idle) / (rows - 1), 0.1 * each), each)
        return Line(last.idle - rows * each, each, tokens / rows, measured=rows)

    def _once(self, work: Callable[[int], int], rows: int) -> tuple[Spent, int]:
        tokens: list[int] = []
        took = spent(lambda: tokens.append(work(rows)))
        if self._by_clock:
            took = Spent(took.wall, took.wall, took.wall)
        self._wall, self._idle = self._wall + took.wall, self._idle + took.idle
        return took, tokens[0]


def _more_rows(rows: int, most: int, took: float, left: float) -> int:
    """As many rows as fit into the seconds that are left, if that is worth another measurement."""
    fits = min(most, 8 * rows, int(rows * left / max(took, 1e-6)))
    return fits if fits >= min(2 * rows, most) else rows


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, params: Params) -> Rates:
    """Measure them; no weight of the model changes."""
    room = context_of(model)
    length = min(ROW, room)
    prompt = max(1, min(PROMPT, room - DRAWN_TOKENS))
    rules, pad = token_rules(tokenizer, model), pad_of(tokenizer)
    generator = torch.Generator().manual_seed(0)

    def rows(count: int, tokens: int) -> list[list[int]]:
        return torch.randint(vocabulary_of(model), (count, tokens), generator=generator).tolist()

    def learn(count: int) -> int:
        accumulate_gradients(model, [Encoded(ids, [True] * length) for ids in rows(count, length)], pad)
        model.zero_grad(set_to_none=True)
        return count * length

    def read(count: int) -> int:
        mean_loss(model, [Encoded(ids, [True] * length) for ids in rows(count, length)], pad)
        return count * length

    def draw(count: int) -> int:
        sample(
            model,
            rows(count, prompt),
            rules,
            temperature=1.0,
            max_new_tokens=DRAWN_TOKENS,
            generator=generator,
            batch=params.decoding.responses_per_batch,
        )
        return count * DRAWN_TOKENS

    measuring = Measuring(BUDGET)
    together = params.compute.tokens_per_pass // length * params.parallel_passes
    full = min(MOST_ROWS, max(1, together))  # rows of passes as the stages have them
    with phase("measuring how fast passes learn"):
        learned = measuring.line(learn, MOST_ROWS, LEARNED).rate(full)
    with phase(f"measuring how fast they learn in {other_precision()}"):
        otherwise = _otherwise(lambda: measuring.line(learn, MOST_ROWS, OTHERWISE)).rate(full)
    with phase("measuring how fast rows are read"):
        read_rate = measuring.line(read, MOST_ROWS, READ).rate(full)
    with phase("measuring how fast responses are drawn"):
        drawn = measuring.line(draw, min(MOST_ROWS, params.decoding.responses_per_batch), DRAWN)
    return Rates(
        learned=learned,
        read=read_rate,
        drawn=drawn.tokens / drawn.row,
        learned_otherwise=otherwise,
        step=drawn.fixed / DRAWN_TOKENS,
        slowdown=measuring.slowdown,
    )


def other_precision() -> precision.Precision:
    """The precision of passes that is not set."""
    return "fp32" if precision.current() == "bf16" else "bf16"


def _otherwise(measured: Callable[[], Line]) -> Line:
    """What is measured in the other precision."""
    current = precision.current()
    precision.use(other_precision())
    try:
        return measured()
    finally:
        precision.use(current)


def check_precision(rates: Rates) -> list[Finding]:
    """Whether the other precision is much faster here: some CPUs multiply bf16, others imitate it."""
    times = rates.learned_otherwise / rates.learned
    if times < WORTH_SAYING:
        return []
    other, severity = other_precision(), "note" if precision.current() == "fp32" else "warning"
    said = f"passes that learn are {times:.1f} times as fast here in {other} as in {precision.current()}"
    return [
        Finding("precision", severity, said, f"set compute.precision: {other}; learned weights stay fp32")
    ]


def check_load(rates: Rates) -> list[Finding]:
    """Whether other processes take processors from this one, so that everything takes longer now."""
    if rates.slowdown < BUSY:
        return []
    said = (
        "this machine is busy: other processes have its processors, and what was measured took "
        f"{rates.slowdown:.1f} times as long as on idle cores"
    )
    return [Finding("load", "note", said, "end what else runs here, or expect the longer times")]
