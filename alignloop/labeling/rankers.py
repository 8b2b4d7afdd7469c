"""The kinds of labelers that rank samples: a simulated panel, people, and a judge model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from alignloop.core.labeler_agreement import Points, total
from alignloop.errors import Waiting
from alignloop.labeling import quality, rounds
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.equal_responses import with_choice
from alignloop.labeling.llm_judge import Judge
from alignloop.labeling.workload import round_workload
from alignloop.params.label import Label, Labelers
from alignloop.params.people import People
from alignloop.records import Prompt, Ranking, Samples
from alignloop.seeds import draws, seed_of
from alignloop.world.form import form_utility
from alignloop.world.panel import PanelError, gold_utility, make_panel


class RoundRankings(NamedTuple):
    """A round's rankings, counts of its labelers, and each labeler's agreement with known orders.

    `without_choice` counts the prompts whose responses are all equal, which nobody was asked to rank,
    `without_gold` those of people among prompts of the built-in environment: its panel knows no order. An
    agreement is (points, pairs). The known orders are people's gold (ground-truth) items, and the panel's
    screening items where the samples are of the built-in environment too. `screening` is the panel's
    agreement on its screening items, which are of the built-in environment whatever the samples are.
    """

    rankings: Iterator[Ranking]
    counts: dict[str, int]
    gold: dict[str, Points]
    screening: Points = (0.0, 0)
    without_choice: int = 0
    without_gold: int = 0


class LabelingRound(NamedTuple):
    """What every kind of labeler needs: the parameters, the seed, the round, and those of the pages."""

    plan: Label
    seed: int
    round: str
    pages: People


COUNTS: tuple[str, ...] = ("labelers", "held_out", "rejected")
JUDGES: dict[str, Callable[[Prompt, str], float]] = {"gold": gold_utility, "form": form_utility}


def _ranking(
    item: Samples, ranks: tuple[int, ...], labeler: str, kind: Literal["panel", "judge"], **about: Any
) -> Ranking:
    fields = {
        "prompt": item.prompt,
        "responses": item.responses,
        "policy": item.policy,
        "round": item.round,
        "split": item.split,
    }
    return Ranking(id=f"{item.id}-{labeler}", ranks=ranks, labeler=labeler, kind=kind, **fields, **about)


def panel(job: LabelingRound, samples: list[Samples]) -> RoundRankings:
    """Rank by a simulated panel of screened, noisy labelers, each with biases of its own."""
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
    known = [item for item in samples if plan.panel_utility != "gold" or item.prompt.key is not None]
    known = known or samples  # none has gold: `judge` says so
    fewest = min(len(pool) for pool in (group.labelers, group.held_out) if pool)
    if plan.overlap > fewest:
        raise PanelError(
            f"label.overlap: must be at most the number of labelers, {fewest}, got {plan.overlap}; "
            "lower it, or raise label.labelers"
        )

    def rank() -> Iterator[Ranking]:
        for item in known:
            chance = seed_of(job.seed, "label", job.round, "known", item.id) / 2**63
            by_training_labelers = chance < plan.valid_share_by_training_labelers
            by_held_out = item.split != "train" and group.held_out and not by_training_labelers
            pool = group.held_out if by_held_out else group.labelers
            if plan.overlap == 1:
                chosen = [int(random.integers(len(pool)))]
            else:
                chosen = random.permutation(len(pool))[: plan.overlap]
            for labeler in (pool[place] for place in chosen):
                ranks = labeler.rank(item.prompt, item.responses, JUDGES[plan.panel_utility], random)
                yield _ranking(item, ranks, labeler.id, "panel", simulated_by=plan.panel_utility)

    screened = {
        each.id: (group.screening[each.id] * plan.screening_items, plan.screening_items)
        for each in (*group.labelers, *group.held_out)
    }
    # an order that is known in the built-in environment says nothing about other data
    is_own = all(item.prompt.key is not None for item in known)
    return RoundRankings(
        rank(),
        {"labelers": len(group.labelers), "held_out": len(group.held_out), "rejected": len(group.rejected)},
        screened if is_own else {},
        total(screened.values()),
        without_gold=len(samples) - len(known),
    )


def people(job: LabelingRound, samples: list[Samples]) -> RoundRankings:
    """Rankings by people at the labeling pages.

    Publishes the samples on the first call; raises Waiting until enough of them are ranked.
    """
    plan, round = job.plan, job.round
    without_choice = len(samples) - len(with_choice(samples))
    if without_choice == len(samples):
        return RoundRankings(iter(()), dict.fromkeys(COUNTS, 0), {}, without_choice=without_choice)
    database = LabelingDatabase(database_url(Path.cwd()))
    try:
        rounds.publish(
            database,
            round,
            samples,
            overlap=plan.overlap,
            enough=plan.min_share_at_deadline,
            deadline_hours=plan.deadline_hours,
        )
        with database.writing() as session:
            state = rounds.progress(session, round)
            if not state.enough:
                left = round_workload(session, round, job.pages)
                raise Waiting(
                    f"round {round} waits for people: {state.missing:,} of {state.wanted:,} rankings "
                    f"are missing; they rank at {job.pages.url} (served by `python -m alignloop label`). "
                    f"This is {left}. "
                    "The same command continues once the rankings are complete"
                )
            if not state.closed:
                rounds.close(session, round, "pipeline")
        with database.reading() as session:
            rankings = list(rounds.rankings(session, round))
            rejected = rounds.count_rejected_labelers(session)
            gold = {each.id: each.gold_agreement for each in quality.labeler_quality(session, round)}
    finally:
        database.close()
    return RoundRankings(
        iter(rankings),
        {"labelers": len({ranking.labeler for ranking in rankings}), "held_out": 0, "rejected": rejected},
        gold,
        without_choice=without_choice,
    )


def judge(job: LabelingRound, samples: list[Samples]) -> RoundRankings:
    """Rank by a judge model behind an OpenAI-compatible endpoint."""
    plan = job.plan.model
    model = Judge(plan.url, plan.name, plan.max_concurrency, job.seed, Path(".cache", "judge"))
    offered = with_choice(samples)

    def rank() -> Iterator[Ranking]:
        for item, ranks in zip(offered, model.rank(offered), strict=True):
            yield _ranking(item, ranks, model.labeler, "judge")

    counts = {"labelers": 1, "held_out": 0, "rejected": 0}
    return RoundRankings(rank(), counts, {}, without_choice=len(samples) - len(offered))


RANKERS: dict[Labelers, Callable[[LabelingRound, list[Samples]], RoundRankings]] = {
    "panel": panel,
    "people": people,
    "judge": judge,
}
