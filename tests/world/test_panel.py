"""The panel: its screening, its noise, and rankings that are valid weak orders."""

from itertools import combinations
from random import Random

import numpy as np
import pytest

from alignloop import params
from alignloop.records import Message, Prompt, Ranking
from alignloop.world.builder import World, labeler_response
from alignloop.world.form import form_utility
from alignloop.world.panel import (
    Labeler,
    Panel,
    PanelError,
    candidates,
    gold_utility,
    make_panel,
    screening_items,
)
from alignloop.world.things import Facts

PROMPT = Prompt(
    id="p", messages=(Message(role="user", content="Where is the town hall?"),), user="u", source="people"
)


def by_length(prompt: Prompt, text: str) -> float:
    return float(len(text))


def exact(tie: float) -> Labeler:
    return Labeler("exact", noise=1e-12, likes_length=0.0, likes_politeness=0.0, tie=tie)


def panel_of(seed: int, label: params.Label) -> Panel:
    return make_panel(
        seed,
        labelers=label.labelers,
        held_out=label.held_out_share,
        noise=label.noise,
        tie=label.tie,
        items=label.screening_items,
        needed=label.screening_pass,
    )


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_screening_admits_all_careful_and_rejects_all_careless_candidates(seed: int, label: params.Label):
    panel = panel_of(seed, label)
    careless = {
        person.id for person in candidates(seed, label.labelers, label.noise, label.tie) if person.careless
    }
    assert len(careless) >= 2
    assert {person.id for person in panel.rejected} == careless
    assert len(panel.labelers) + len(panel.held_out) == label.labelers
    assert len(panel.held_out) == round(label.held_out_share * label.labelers)
    assert not {person.id for person in panel.labelers} & {person.id for person in panel.held_out}


def test_two_labelers_agree_as_often_as_instructgpts_did(world: World, facts: Facts, label: params.Label):
    shares = []
    for seed in (1, 2, 3):
        panel = panel_of(seed, label)
        agreed, pairs = 0, 0
        mixed, rng = Random(seed), np.random.default_rng(seed)
        people = panel.labelers + panel.held_out
        for prompt in mixed.sample(world.prompts, 400):
            texts = [
                labeler_response(prompt.category, prompt.key or {}, facts, 0.55, mixed) for _ in range(6)
            ]
            scores = {text: gold_utility(prompt, text) for text in texts}
            first, second = (
                person.rank(prompt, texts, lambda _, text, scores=scores: scores[text], rng)
                for person in mixed.sample(people, 2)
            )
            for one, other in combinations(range(6), 2):
                if first[one] != first[other] and second[one] != second[other]:
                    agreed += (first[one] < first[other]) == (second[one] < second[other])
                    pairs += 1
        shares.append(agreed / pairs)
    assert sum(shares) / 3 == pytest.approx(0.726, abs=0.03)


def test_a_labeler_without_noise_ranks_by_utility_and_ties_small_differences():
    rng = np.random.default_rng(0)
    assert exact(0.5).rank(PROMPT, ("aa", "aaaa", "a", "aaaa"), by_length, rng) == (2, 1, 3, 1)
    # 6 and 4 tie; 2 is 4 below the best
    assert exact(2.5).rank(PROMPT, ("aa", "aaaa", "a", "aaaaaa"), by_length, rng) == (2, 1, 2, 1)


def test_ranks_do_not_depend_on_the_order_of_responses(facts: Facts, world: World):
    person, mixed = Labeler("l", 1.0, 0.1, -0.1, 0.1), Random(1)
    for number, prompt in enumerate(world.prompts[:50]):
        texts = [labeler_response(prompt.category, prompt.key or {}, facts, 0.55, mixed) for _ in range(6)]
        order = mixed.sample(range(6), 6)
        plain = person.rank(prompt, texts, gold_utility, np.random.default_rng(number))
        moved = person.rank(
            prompt, [texts[place] for place in order], gold_utility, np.random.default_rng(number)
        )
        assert moved == tuple(plain[place] for place in order)


@pytest.mark.parametrize("k", range(2, 10))
def test_ranks_are_a_weak_order_that_a_ranking_record_accepts(k: int, world: World, facts: Facts):
    person = Labeler("l", 1.0, 0.1, 0.1, 0.4)
    mixed, rng = Random(k), np.random.default_rng(k)
    for prompt in world.prompts[:40]:
        texts = tuple(
            labeler_response(prompt.category, prompt.key or {}, facts, 0.55, mixed) for _ in range(k)
        )
        ranks = person.rank(prompt, texts, gold_utility, rng)
        Ranking(
            id="r",
            prompt=prompt,
            responses=texts,
            ranks=ranks,
            labeler="l",
            kind="panel",
            policy="p",
            round="r1",
        )


def test_a_careless_labeler_ranks_at_random():
    person, rng = Labeler("c", 1.0, 0.0, 0.0, 0.0, careless=True), np.random.default_rng(1)
    right = sum(person.rank(PROMPT, ("a", "a" * 50), by_length, rng) == (2, 1) for _ in range(2000))
    assert right / 2000 == pytest.approx(0.5, abs=0.05)


def test_the_noise_is_the_scale_of_a_bradley_terry_choice():
    person, rng = Labeler("l", 2.0, 0.0, 0.0, 0.0), np.random.default_rng(2)
    right = sum(person.rank(PROMPT, ("a", "aaa"), by_length, rng) == (2, 1) for _ in range(4000))
    assert right / 4000 == pytest.approx(0.7311, abs=0.025)  # sigmoid(2 / 2)


def test_screening_items_differ_clearly_in_gold_score():
    for prompt, better, worse in screening_items(1, 40):
        assert gold_utility(prompt, better) - gold_utility(prompt, worse) >= 2.5


def test_the_panel_is_the_same_for_the_same_seed(label: params.Label):
    few = label.model_copy(update={"labelers": 6})
    assert panel_of(4, few) == panel_of(4, few)
    assert panel_of(4, few) != panel_of(5, few)


def test_a_panel_without_labelers_is_refused_with_a_remedy(label: params.Label):
    with pytest.raises(PanelError, match=r"\d+ of \d+ candidates .* lower label\.noise"):
        make_panel(1, labelers=4, held_out=0.5, noise=50.0, tie=0.1, items=60, needed=0.95)


def test_form_utility_prefers_finished_responses_about_the_prompt():
    good = "The town hall is in the main street, next to the library."
    for worse in (
        "", "   ", "hall", "The town hall is in the main", "I like soup, and I had a lot of soup today.",
        "the town hall " * 20, "@@@ ### ;;; %%%", good * 40,
    ):  # fmt: skip
        assert form_utility(PROMPT, good) > form_utility(PROMPT, worse) + 0.2, worse
        assert -2 <= form_utility(PROMPT, worse) <= 3


def test_a_labeler_can_rank_by_form_utility_without_a_key():
    ranks = exact(0.1).rank(
        PROMPT, ("", "The town hall is near the station."), form_utility, np.random.default_rng(0)
    )
    assert ranks == (2, 1)
