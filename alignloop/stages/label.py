"""Labelers rank the round's answers. Here they are a simulated panel; each ranking says who made it and of what kind they are."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from alignloop.io.datasets import read, write
from alignloop.io.files import replacing, write_json
from alignloop.params import Params
from alignloop.records import Prompt, Ranking, Samples
from alignloop.seeds import draws
from alignloop.stages.progress import Progress
from alignloop.world.form import form_utility
from alignloop.world.panel import gold_utility, make_panel

JUDGES: dict[str, Callable[[Prompt, str], float]] = {"gold": gold_utility, "form": form_utility}


def label(params: Params, round: str, samples: Path, earlier: Path, out: Path, metrics: Path) -> Iterator[Progress]:
    """Rank the K answers of every prompt and add the round's rankings to those known before."""
    plan = params.label
    waiting = read(samples, Samples)
    panel = make_panel(params.seed, plan.labelers, plan.held_out, plan.noise, plan.tie, plan.screening_items, plan.screening_pass)
    random = draws(params.seed, "label", round)
    rankings: list[Ranking] = []
    ties = pairs = 0
    for number, item in enumerate(waiting, 1):
        group = panel.held_out if item.split != "train" and panel.held_out else panel.labelers
        labeler = group[int(random.integers(len(group)))]
        ranks = labeler.rank(item.prompt, item.responses, JUDGES[plan.judge], random)
        rankings.append(
            Ranking(
                id=f"{item.id}-{labeler.id}",
                prompt=item.prompt,
                responses=item.responses,
                ranks=ranks,
                labeler=labeler.id,
                kind=plan.kind,
                policy=item.policy,
                round=round,
                split=item.split,
            )
        )
        k = len(ranks)
        pairs += k * (k - 1) // 2
        ties += sum(ranks[a] == ranks[b] for a in range(k) for b in range(a))
        if number % 250 == 0 or number == len(waiting):
            yield Progress(number, len(waiting), {"ties": ties / pairs})
    with replacing(out) as part:
        part.mkdir(parents=True)
        known = sorted(earlier.glob("*.jsonl"))
        for file in known:
            shutil.copyfile(file, part / file.name)
        write(part / f"{round}.jsonl", rankings)
    numbers = {"rankings": len(rankings), "pairs": pairs, "ties": ties / pairs if pairs else 0.0}
    write_json(metrics, {**numbers, "labelers": len(panel.labelers), "held_out": len(panel.held_out), "rejected": len(panel.rejected)})
