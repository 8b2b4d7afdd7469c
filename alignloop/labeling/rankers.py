"""The kinds of labelers: each gives rankings of samples one by one, and counts of who was there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from alignloop.core.labeler_agreement import Points
from alignloop.errors import Waiting
from alignloop.labeling import quality, rounds
from alignloop.labeling.database import Store, store_url
from alignloop.labeling.llm_judge import Judge
from alignloop.params.label import Label, Labelers
from alignloop.records import Prompt, Ranking, Samples
from alignloop.seeds import draws, seed_of
from alignloop.world.form import form_utility
from alignloop.world.panel import PanelError, gold_utility, make_panel


class Made(NamedTuple):
    """Rankings one by one, counts of who was there, and each labeler's agreement with what is known to be right: points, of pairs."""

    rankings: Iterator[Ranking]
    counts: dict[str, int]
    gold: dict[str, Points]


class LabelingRound(NamedTuple):
    """What every kind of labeler needs: the parameters, the seed, the round, and where people find its pages."""

    plan: Label
    seed: int
    round: str
    url: str


JUDGES: dict[str, Callable[[Prompt, str], float]] = {"gold": gold_utility, "form": form_utility}


def _ranking(item: Samples, ranks: tuple[int, ...], labeler: str, kind: Literal["panel", "judge"]) -> Ranking:
    given = {
        "prompt": item.prompt,
        "responses": item.responses,
        "policy": item.policy,
        "round": item.round,
        "split": item.split,
    }
    return Ranking(id=f"{item.id}-{labeler}", ranks=ranks, labeler=labeler, kind=kind, **given)


def panel(job: LabelingRound, samples: list[Samples]) -> Made:
    """A simulated panel: screened, noisy, with leanings of its own."""
    plan = job.plan
    group = make_panel(
        job.seed,
        labelers=plan.labelers,
        held_out=plan.held_out_share,
        noise=plan.noise,
        tie=plan.tie,
        items=plan.screening_items,
        needed=plan.screening_pass,
    )
    random = draws(job.seed, "label", job.round)
    fewest = min(len(able) for able in (group.labelers, group.held_out) if able)
    if plan.overlap > fewest:
        raise PanelError(
            f"label.overlap: {plan.overlap} are to rank a prompt, and {fewest} labelers are there; lower it, or raise label.labelers"
        )

    def rank() -> Iterator[Ranking]:
        for item in samples:
            chance = seed_of(job.seed, "label", job.round, "known", item.id) / 2**63
            by_training_labelers = chance < plan.valid_share_by_training_labelers
            held_out = item.split != "train" and group.held_out and not by_training_labelers
            able = group.held_out if held_out else group.labelers
            if plan.overlap == 1:
                chosen = [int(random.integers(len(able)))]
            else:
                chosen = random.permutation(len(able))[: plan.overlap]
            for labeler in (able[place] for place in chosen):
                ranks = labeler.rank(item.prompt, item.responses, JUDGES[plan.panel_utility], random)
                yield _ranking(item, ranks, labeler.id, "panel")

    screened = {
        each.id: (group.screening[each.id] * plan.screening_items, plan.screening_items)
        for each in (*group.labelers, *group.held_out)
    }
    return Made(
        rank(),
        {"labelers": len(group.labelers), "held_out": len(group.held_out), "rejected": len(group.rejected)},
        screened,
    )


def people(job: LabelingRound, samples: list[Samples]) -> Made:
    """People at the labeling pages. The samples are published there at once; until enough is ranked, Waiting is raised."""
    plan, round, store = job.plan, job.round, Store(store_url(Path.cwd()))
    try:
        rounds.publish(store, round, samples, plan.overlap, plan.min_share_at_deadline, plan.deadline_hours)
        with store.writing() as session:
            state = rounds.progress(session, round)
            if not state.enough:
                raise Waiting(
                    f"round {round} waits for people: {state.missing:,} of {state.wanted:,} rankings are missing; they rank at "
                    f"{job.url} (`python -m alignloop label` serves it). The same command continues when they are there"
                )
            if not state.closed:
                rounds.close(session, round, "pipeline")
        with store.reading() as session:
            made = list(rounds.rankings(session, round))
            rejected = rounds.rejected(session)
            gold = {record.id: record.gold for record in quality.records(session, round)}
    finally:
        store.close()
    return Made(
        iter(made),
        {"labelers": len({ranking.labeler for ranking in made}), "held_out": 0, "rejected": rejected},
        gold,
    )


def judge(job: LabelingRound, samples: list[Samples]) -> Made:
    """A model behind an OpenAI-compatible endpoint."""
    model = job.plan.model
    asked = Judge(model.url, model.name, model.max_concurrency, job.seed, Path(".cache", "judge"))

    def rank() -> Iterator[Ranking]:
        for item, ranks in zip(samples, asked.rank(samples), strict=True):
            yield _ranking(item, ranks, asked.labeler, "judge")

    return Made(rank(), {"labelers": 1, "held_out": 0, "rejected": 0}, {})


LABELERS: dict[Labelers, Callable[[LabelingRound, list[Samples]], Made]] = {
    "panel": panel,
    "people": people,
    "judge": judge,
}
