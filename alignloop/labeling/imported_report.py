"""Report of a round without new labels: the rankings that its reward model learns from, by labeler."""

from collections import Counter
from collections.abc import Sequence

from alignloop.core.ranking_pairs import pairs_of
from alignloop.markdown import plain, table
from alignloop.records import Ranking


def imported_page(round: str, rankings: Sequence[Ranking], why: str) -> str:
    """The report as Markdown; `why` says why nobody labeled."""
    counts, pairs = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for ranking in rankings:
        labeler = (ranking.labeler, ranking.kind)
        counts[labeler] += 1
        pairs[labeler] += len(pairs_of(ranking.ranks)[0])
    splits = Counter(ranking.split for ranking in rankings)
    shares = ", ".join(f"{splits[split]:,} {split}" for split in ("train", "valid", "test"))
    rows = [
        [plain(name), kind, f"{count:,}", f"{pairs[name, kind]:,}"]
        for (name, kind), count in sorted(counts.items())
    ]
    return (
        f"# Labels of round {round}\n\nNo new labels: {why}. "
        f"{len(rankings):,} rankings were known before ({shares}).\n\n"
        f"{table([['labeler', 'kind', 'rankings', 'ordered pairs'], *rows])}\n"
    )
