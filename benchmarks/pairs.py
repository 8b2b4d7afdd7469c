"""Errors of a round's reward model by kind of pair, on held-out labelers' rankings so far.

python -m benchmarks.pairs . r1

A pair is two responses with different ranks. The kinds are by the ground-truth (gold) score of the two
responses. The column *gold* is the accuracy of the gold score itself, the most that a model can learn from
labelers who err. Where one of two responses passes, the pairs are also listed by the fault of the other.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from alignloop.core.models import context_of, load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score_rankings
from alignloop.core.tokens import pad_of
from alignloop.data.record_files import read
from alignloop.records import Ranking
from alignloop.training.encoding import ranked_rows
from alignloop.world.gold import Gold, judge

ALL = "all"


@dataclass
class Tally:
    """Counts of the pairs of one kind."""

    pairs: int = 0
    model: float = 0.0  # in the labelers' order by the reward model's scores
    gold: float = 0.0  # in the labelers' order by the gold scores
    apart: int = 0  # with different gold scores
    sign: float = 0.0  # of these, in the order of the gold scores by the reward model's scores

    def add(self, scores: tuple[float, float], golds: tuple[float, float]) -> None:
        """Count a pair; the response that the labelers prefer comes first."""
        self.pairs += 1
        self.model += _ordered(*scores)
        self.gold += _ordered(*golds)
        if golds[0] != golds[1]:
            self.apart += 1
            self.sign += _ordered(*scores) if golds[0] > golds[1] else 1 - _ordered(*scores)


def _ordered(better: float, worse: float) -> float:
    return 0.5 if better == worse else float(better > worse)


def kinds(one: Gold, other: Gold) -> Iterator[str]:
    """The kinds that a pair belongs to."""
    yield ALL
    if one.passed != other.passed:
        yield "one passes"
        failed = other if one.passed else one
        yield f"one passes, the other: {failed.reasons[0] if failed.reasons else 'form'}"
    elif one.score == other.score:
        yield "gold ties"
    else:
        yield "both pass" if one.passed else "both fail"


def tallies(run: Path, round: str) -> dict[str, Tally]:
    """The held-out pairs of a finished run's round, by kind; prompts without gold score are left out."""
    policy, tokenizer = load_policy(run / "models" / "sft")
    model = RewardModel.load(run / "models" / round / "reward")
    held_out = [
        ranking
        for ranking in read(run / "data" / "rankings" / round, Ranking)
        if ranking.split == "valid" and ranking.prompt.key
    ]
    ranked, _ = ranked_rows(tokenizer, held_out, context_of(policy))
    by_kind: dict[str, Tally] = defaultdict(Tally)
    for (ranking, row), scores in zip(
        ranked, score_rankings(model, [row for _, row in ranked], pad_of(tokenizer)), strict=True
    ):
        responses = zip(
            row.ranks,
            scores.tolist(),
            [judge(ranking.prompt, text) for text in ranking.responses],
            strict=True,
        )
        for better, worse in (
            sorted(pair, key=lambda response: response[0]) for pair in combinations(responses, 2)
        ):
            if better[0] != worse[0]:
                for kind in kinds(better[2], worse[2]):
                    by_kind[kind].add((better[1], worse[1]), (better[2].score, worse[2].score))
    return by_kind


def table(by_kind: dict[str, Tally]) -> str:
    """The kinds as a table, the most frequent first, then those by fault."""
    lines = [
        "| pair | share | reward model | gold | reward model on gold's sign |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, tally in sorted(
        by_kind.items(), key=lambda item: (item[0].startswith("one passes, "), -item[1].pairs)
    ):
        sign = f"{tally.sign / tally.apart:.3f}" if tally.apart else "–"
        shares = (tally.pairs / by_kind[ALL].pairs, tally.model / tally.pairs, tally.gold / tally.pairs)
        lines.append(f"| {kind} | {' | '.join(f'{share:.3f}' for share in shares)} | {sign} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("round", help="whose reward model: r1")
    arguments = parser.parse_args()
    by_kind = tallies(arguments.run, arguments.round)
    if not by_kind:
        parser.error(
            f"{arguments.run}: no held-out ranking of {arguments.round} has gold scores and different ranks"
        )
    reached = by_kind[ALL].model / by_kind[ALL].gold
    print(
        f"{table(by_kind)}\n\nThe reward model's accuracy is {reached:.3f} of that of the "
        "gold score on these pairs."
    )


if __name__ == "__main__":
    main()
