"""Where a round's reward model errs: held-out labelers' pairs of this round and those before, by what gold says of the two answers.

    python -m benchmarks.pairs . r1

A pair is one that the labelers tell apart, as in the evaluation of a round. *Gold* is what gold itself would reach as a reward model
there: the most that a model can learn from labelers who err. Where one answer passes, the pairs stand once more by what is wrong with the
other.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from alignloop.core.models import context_of, load_policy
from alignloop.core.reward import score_rankings
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import pad_of
from alignloop.data.record_files import read
from alignloop.records import Ranking
from alignloop.training.encoding import ranked_rows
from alignloop.world.gold import Gold, judge

ALL = "all"


@dataclass
class Tally:
    """Pairs of one kind; how many the model and gold order as the labelers did; of those gold tells apart, how many the model orders so."""

    pairs: int = 0
    model: float = 0.0
    gold: float = 0.0
    apart: int = 0
    sign: float = 0.0

    def add(self, scores: tuple[float, float], golds: tuple[float, float]) -> None:
        """Count a pair; the labelers' better answer comes first."""
        self.pairs += 1
        self.model += _ordered(*scores)
        self.gold += _ordered(*golds)
        if golds[0] != golds[1]:
            self.apart += 1
            self.sign += _ordered(*scores) if golds[0] > golds[1] else 1 - _ordered(*scores)


def _ordered(better: float, worse: float) -> float:
    return 1.0 if better > worse else 0.5 if better == worse else 0.0


def kinds(one: Gold, other: Gold) -> Iterator[str]:
    """What a pair is counted as."""
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
    """The held-out pairs that a finished run knew in a round, by kind; none of prompts without gold."""
    policy, tokenizer = load_policy(run / "models" / "sft")
    model = RewardModel.load(run / "models" / round / "reward")
    held_out = [
        ranking
        for ranking in read(run / "data" / "rankings" / round, Ranking)
        if ranking.split == "valid" and ranking.prompt.key
    ]
    ranked, _ = ranked_rows(tokenizer, held_out, context_of(policy))
    found: dict[str, Tally] = defaultdict(Tally)
    for (ranking, row), scores in zip(
        ranked, score_rankings(model, [row for _, row in ranked], pad_of(tokenizer)), strict=True
    ):
        answers = zip(
            row.ranks,
            scores.tolist(),
            [judge(ranking.prompt, text) for text in ranking.responses],
            strict=True,
        )
        for better, worse in (
            sorted(pair, key=lambda answer: answer[0]) for pair in combinations(answers, 2)
        ):
            if better[0] != worse[0]:
                for kind in kinds(better[2], worse[2]):
                    found[kind].add((better[1], worse[1]), (better[2].score, worse[2].score))
    return found


def table(found: dict[str, Tally]) -> str:
    """The kinds, the most frequent first, then those of what is wrong with one of the two."""
    lines = [
        "| pair | share | reward model | gold | reward model on gold's sign |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind, tally in sorted(
        found.items(), key=lambda item: (item[0].startswith("one passes, "), -item[1].pairs)
    ):
        sign = f"{tally.sign / tally.apart:.3f}" if tally.apart else "–"
        shares = (tally.pairs / found[ALL].pairs, tally.model / tally.pairs, tally.gold / tally.pairs)
        lines.append(f"| {kind} | {' | '.join(f'{share:.3f}' for share in shares)} | {sign} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("round", help="whose reward model: r1")
    asked = parser.parse_args()
    found = tallies(asked.run, asked.round)
    if not found:
        parser.error(f"{asked.run}: no held-out ranking of {asked.round} has gold and tells answers apart")
    reached = found[ALL].model / found[ALL].gold
    print(
        f"{table(found)}\n\nOf what gold itself reaches on these pairs the reward model reaches {reached:.3f}."
    )


if __name__ == "__main__":
    main()
