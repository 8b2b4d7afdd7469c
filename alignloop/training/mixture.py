"""What pretraining draws from each domain of the corpus: tokens, and over how many epochs.

With a mixture, as in GPT-3 (arXiv 2005.14165, table 2.2), a weight is a share of all tokens that are drawn,
whatever the size of its domain: a small domain with a large weight is seen several times, a large one in
part.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignloop.core.tokens import Encoded


@dataclass(frozen=True)
class DomainDraw:
    """What is drawn from a domain: its documents, its tokens, and the tokens drawn."""

    documents: int
    tokens: int
    drawn_tokens: int

    @property
    def epochs(self) -> float:
        return self.drawn_tokens / max(self.tokens, 1)

    def as_dict(self) -> dict[str, float]:
        """The numbers as a metrics file has them."""
        counts = {"documents": self.documents, "tokens": self.tokens, "drawn_tokens": self.drawn_tokens}
        return {**counts, "epochs": self.epochs}


@dataclass(frozen=True)
class Draw:
    """The rows of a training and its epochs over them; `domains` is empty where no document is in one."""

    rows: list[Encoded]
    epochs: float
    domains: dict[str, DomainDraw]

    def as_words(self) -> str:
        """What is drawn from each domain, in a line; nothing where there are none."""
        return "; ".join(
            f"{name}: {each.drawn_tokens:,} tokens, {each.epochs:.2f} epochs of {each.documents:,} documents"
            for name, each in self.domains.items()
        )


def draw_rows(
    rows: Sequence[Encoded],
    domains: Mapping[str, str],
    weights: Mapping[str, float] | None,
    epochs: float,
    random: np.random.Generator,
) -> Draw:
    """The rows of a corpus as they are, or in a mixture; `domains` has each document's domain, by row name.

    A mixture draws as many tokens as `epochs` over all rows would. A domain's draw ends with the row that
    reaches its share, so that it exceeds the share by less than a row; no row comes again before all rows of
    its domain were drawn.
    """
    own: dict[str, list[Encoded]] = {name: [] for name in sorted(set(domains.values()))}
    for row in rows if domains else ():
        own[domains[row.name]].append(row)
    counts, documents = {name: _tokens(each) for name, each in own.items()}, Counter(domains.values())
    drawn = {name: round(epochs * count) for name, count in counts.items()}
    chosen = [*rows]
    if weights:
        share = epochs * _tokens(rows) / sum(weights.values())
        parts = {name: _drawn(own[name], weights[name] * share, random) for name in own}
        drawn = {name: _tokens(part) for name, part in parts.items()}
        chosen = [row for part in parts.values() for row in part]
    found = {name: DomainDraw(documents[name], counts[name], drawn[name]) for name in own}
    return Draw(chosen, 1.0 if weights else epochs, found)


def _drawn(rows: Sequence[Encoded], tokens: float, random: np.random.Generator) -> list[Encoded]:
    drawn: list[Encoded] = []
    order: list[int] = []
    count = 0
    while count < tokens:
        order = order or random.permutation(len(rows)).tolist()
        drawn.append(rows[order.pop()])
        count += len(drawn[-1].ids)
    return drawn


def _tokens(rows: Sequence[Encoded]) -> int:
    return sum(len(row.ids) for row in rows)
