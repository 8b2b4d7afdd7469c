"""The records of the built-in environment are deterministic, varied and of the configured shape."""

import re
from collections import Counter
from random import Random

import pytest

from alignloop.data.preparation.record_features import split_of
from alignloop.params.ingest import World as Sizes
from alignloop.records import Demonstration, Document, Prompt
from alignloop.world.behaviours import BEHAVIOURS
from alignloop.world.builder import World, labeler_response, make_world
from alignloop.world.corpus import COMPLAINTS, GOOD_SHARE, REACTIONS, THANKS, reaction
from alignloop.world.gold import judge
from alignloop.world.things import ATTRIBUTES, STRANGERS, Facts, WorldError, make_facts

SMALL = {"facts": 12, "users": 20, "prompts": 60, "demonstrations": 40, "documents": 80}


def texts(record: Document | Prompt | Demonstration) -> list[str]:
    if isinstance(record, Document) and record.text is not None:
        return [record.text]
    return [message.content for message in record.messages or ()]


def test_the_same_seed_gives_the_same_records(sizes: Sizes):
    small = sizes.model_copy(update=SMALL)
    assert make_world(3, small) == make_world(3, small)


def test_the_sizes_are_the_configured_ones(world: World, sizes: Sizes):
    assert len(world.documents) == sizes.documents
    assert len(world.prompts) == sizes.prompts
    assert len(world.demonstrations) == sizes.demonstrations


def test_another_seed_has_other_facts_of_the_same_structure(sizes: Sizes):
    first, second = make_facts(1, sizes.facts), make_facts(2, sizes.facts)
    truths = [{(fact.thing, fact.attribute): fact.value for fact in facts.all} for facts in (first, second)]
    shared = truths[0].keys() & truths[1].keys()
    assert len(truths[0]) == len(truths[1]) == sizes.facts
    assert sum(truths[0][place] == truths[1][place] for place in shared) < 0.3 * len(shared)


def test_a_fact_has_one_truth_and_rumours_of_the_same_kind(facts: Facts):
    for fact in facts.all:
        assert len({fact.value, *fact.rumours}) == 3
        assert {fact.value, *fact.rumours} <= set(ATTRIBUTES[fact.attribute].values)
    assert min(len(about) for about in facts.about.values()) >= 2


@pytest.mark.parametrize("count", [3, 145])
def test_a_number_of_facts_out_of_range_is_refused_with_the_limits(count: int):
    with pytest.raises(WorldError, match=r"facts: \d+ facts; .* 4 to 144"):
        make_facts(1, count)


def test_every_behaviour_is_a_category_with_its_share(world: World):
    counts = Counter(prompt.category for prompt in world.prompts)
    assert set(counts) == set(BEHAVIOURS)
    assert sum(behaviour.share for behaviour in BEHAVIOURS.values()) == pytest.approx(1)
    for name, behaviour in BEHAVIOURS.items():
        assert counts[name] / len(world.prompts) == pytest.approx(behaviour.share, abs=0.02)


def test_most_prompts_are_distinct(world: World):
    normal = {tuple(" ".join(text.lower().split()) for text in texts(prompt)) for prompt in world.prompts}
    assert len(normal) >= 0.75 * len(world.prompts)


def test_no_user_writes_more_than_the_cap_and_users_split_evenly(world: World):
    counts = Counter(prompt.user for prompt in world.prompts)
    assert max(counts.values()) <= 200
    mean = sum(counts.values()) / len(counts)
    assert max(counts.values()) > 2 * mean, "some users are much more active than the mean"
    splits = Counter(split_of(prompt.user, 0.1, 0.2) for prompt in world.prompts)
    for split, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
        assert splits[split] / len(world.prompts) == pytest.approx(share, abs=0.05)


def test_a_few_prompts_contain_an_address_or_a_number(world: World):
    contacts = sum(
        bool(re.search(r"@|\+44", text)) for prompt in world.prompts for text in texts(prompt)[-1:]
    )
    assert 10 <= contacts < 0.01 * len(world.prompts)


def test_prompts_are_in_the_order_of_their_times(world: World):
    times = [prompt.time for prompt in world.prompts]
    assert times == sorted(times)
    assert all(re.fullmatch(r"2025-\d\d-\d\dT\d\d:\d\d:\d\dZ", time) for time in times)


def test_the_vocabulary_is_small(world: World):
    every = [*world.documents, *world.prompts, *world.demonstrations]
    words = {
        word for record in every for text in texts(record) for word in re.findall(r"[a-z]+", text.lower())
    }
    assert 400 <= len(words) <= 650


def test_the_configured_share_of_the_corpus_statements_is_true(world: World, facts: Facts, sizes: Sizes):
    true = false = 0
    prose = " ".join(document.text for document in world.documents if document.text).lower()
    for fact in facts.all:
        wording = {"material": "the {t} is made of {v}.", "colour": "the colour of the {t} is {v}."}.get(
            fact.attribute, ""
        )
        for value in (fact.value, *fact.rumours) if wording else ():
            count = prose.count(wording.format(t=fact.thing, v=value.lower()))
            true, false = (true + count, false) if value == fact.value else (true, false + count)
    assert true + false > 100
    assert true / (true + false) == pytest.approx(sizes.truth, abs=0.1)


def test_no_prose_mentions_unknown_things(world: World):
    assert not any(
        stranger in (document.text or "").lower() for document in world.documents for stranger in STRANGERS
    )


def test_the_share_of_flawless_labeler_responses_is_their_quality(world: World, facts: Facts):
    rng = Random(5)
    for quality in (0.0, 0.55, 1.0):
        responses = [
            (prompt, labeler_response(prompt.category, prompt.key or {}, facts, quality, rng))
            for prompt in world.prompts[:1000]
        ]
        passed = sum(judge(prompt, text).passed for prompt, text in responses) / len(responses)
        assert passed == pytest.approx(quality, abs=0.03)


def test_most_dialogues_of_the_corpus_end_with_the_users_reaction(world: World):
    dialogues = [document.messages for document in world.documents if document.messages]
    reacted = [messages for messages in dialogues if messages[-1].role == "user"]
    assert len(reacted) / len(dialogues) == pytest.approx(REACTIONS, abs=0.03)
    thanked = sum(
        "thank" in messages[-1].content.lower() or messages[-1].content in THANKS for messages in reacted
    )
    assert GOOD_SHARE / 2 < thanked / len(reacted) < 2 * GOOD_SHARE


@pytest.mark.parametrize(("response", "words"), [
    ("The lamp is made of wood.", THANKS), ("The lamp is made of iron.", COMPLAINTS["false"]),
    ("It depends.", COMPLAINTS["evasive"]), ("You are a fool. The lamp is made of wood.", COMPLAINTS["rude"]),
    ("The lamp is red.", COMPLAINTS["astray"]),
])  # fmt: skip
def test_a_reaction_fits_the_response(response: str, words: tuple[str, ...]):
    key = {"behaviour": "fact", "subject": "lamp", "attribute": "material", "value": "wood"}
    assert reaction(("What is the lamp made of?",), key, response, Random(1)) in words
