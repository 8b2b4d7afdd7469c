"""The form of a response: length, punctuation, courtesy, repetition, rudeness and relevance."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from random import Random

from alignloop.records import Prompt
from alignloop.seeds import seed_of
from alignloop.world import wording
from alignloop.world.behaviours import BEHAVIOURS, JUDGED, documented
from alignloop.world.behaviours.behaviour import Verdict
from alignloop.world.reading import Reading, words_of
from alignloop.world.things import POOLS, STRANGERS, THINGS, make_facts

ENDLESS = 40  # words; good responses have fewer than half of that
_KINDS = {
    **{word: f"<{name}>" for name, pool in POOLS.items() for word in pool},
    **dict.fromkeys(THINGS, "<thing>"),
    **dict.fromkeys(STRANGERS, "<stranger>"),
}  # fmt: skip
_COURTESIES = wording.LEADS + wording.TAILS


@dataclass(frozen=True)
class Form:
    """The form of a response."""

    quality: float  # in [0, 1]
    faults: tuple[str, ...]  # good responses have none
    broken: str | None  # why it is not a readable response, if so


def _pairs(sentence: tuple[str, ...]) -> list[tuple[str, str]]:
    kinds = ["^", *(_KINDS.get(word, word) for word in sentence), "$"]
    return list(pairwise(kinds))


@cache
def _expected(behaviour: str) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The words and word pairs of good responses of a behaviour, independent of the facts."""
    facts, rng = make_facts(0, 48), Random(seed_of(0, "expected", behaviour))
    if behaviour == "documented":
        facts = documented.make_documented(0, 48)
    responses = [*wording.LEADS, *wording.TAILS]
    for _ in range(1200):
        responses.append(JUDGED[behaviour].good(JUDGED[behaviour].ask(facts, rng).key, facts, rng))
    return _parts(responses)


@cache
def _known_pairs() -> frozenset[tuple[str, str]]:
    """The word pairs of all responses that the environment generates, good or bad."""
    facts, rng = make_facts(0, 48), Random(seed_of(0, "spoken"))
    responses = [*wording.PADS, *wording.INSULTS, *wording.SMALL_TALK]
    for behaviour in BEHAVIOURS.values():
        for _ in range(200):
            key = behaviour.ask(facts, rng).key
            responses += [make(key, facts, rng) for make in behaviour.bad.values()]
    return _parts(responses)[1].union(*(_expected(name)[1] for name in BEHAVIOURS))


@cache
def _known(behaviour: str) -> frozenset[tuple[str, str]]:
    return _known_pairs() | _expected(behaviour)[1] if behaviour == "code" else _known_pairs()


def _parts(texts: list[str]) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    pairs = frozenset(
        pair for text in set(texts) for sentence in Reading(text).sentences for pair in _pairs(sentence)
    )
    return frozenset(word for pair in pairs for word in pair), pairs


def relevance(prompt: Prompt, reading: Reading, behaviour: str) -> float:
    """The share of words and word pairs that occur in good responses; for words, also in the prompt."""
    words, pairs = _expected(behaviour)
    asked = {word for message in prompt.messages for word in words_of(message.content)}
    known = sum(word in asked or _KINDS.get(word, word) in words for word in reading.words)
    return 0.5 * known / max(1, len(reading.words)) + 0.5 * _share(reading, pairs)


def _share(reading: Reading, pairs: frozenset[tuple[str, str]]) -> float:
    found = [pair in pairs for sentence in reading.sentences for pair in _pairs(sentence)]
    return sum(found) / max(1, len(found))


def repetition(reading: Reading) -> float:
    """The share of repeated word trigrams in a response."""
    groups = list(zip(reading.words, reading.words[1:], reading.words[2:], strict=False))
    return 1 - len(set(groups)) / len(groups) if groups else 0.0


def length_fit(reading: Reading, band: tuple[int, int]) -> float:
    """How well the length fits the band: 1 in its middle half, 0.9 at its edges, decreasing beyond.

    The band is in words; it is compared in characters, at 4 to 6 characters per word.
    """
    low, high = 4.0 * band[0], 6.0 * band[1] + 6
    length, quarter = float(len(" ".join(reading.text.split()))), (high - low) / 4
    # 0 in the middle half, 1 at the edges
    within = max(0.0, low + quarter - length, length - high + quarter) / quarter
    return 1 - 0.1 * within if within <= 1 else max(-1.0, 0.9 - max(low - length, length - high) / high)


def form_of(prompt: Prompt, reading: Reading, verdict: Verdict, behaviour: str) -> Form:
    """The form of a response to a prompt, given the verdict on its content."""
    words, (low, high) = len(reading.words), verdict.band
    relevant, repeated = relevance(prompt, reading, behaviour), repetition(reading)
    courtesies = reading.count(_COURTESIES) + reading.count(wording.APOLOGIES)
    insults, text = reading.count(wording.RUDE), reading.text.strip()
    finished = verdict.code or text[-1:] in (".", "!", "?")
    broken = None
    if not words:
        broken = "empty"
    elif words > ENDLESS:
        broken = "endless"
    elif repeated > 0.3:
        broken = "repeated"
    elif _share(reading, _known(behaviour)) < 0.5 and words > 1:
        broken = "garbled"
    faults = (
        *(("curt",) if words < low else ()),
        *(("padded",) if words > high + 3 or courtesies > 3 else ()),
        *(("rude",) if insults else ()),
        *(("repetitive",) if repeated > 0.1 else ()),
        *(("off-topic",) if relevant < 0.8 else ()),
        *(("unfinished",) if not finished and high > 1 else ()),
    )
    quality = (
        0.20 * length_fit(reading, verdict.band)
        + 0.08 * finished
        + 0.06 * (verdict.code or text[:1].isupper())
        + 0.22 * verdict.named
        + 0.22 * (verdict.courtesy in (None, courtesies > 0))
        + 0.22
        - 0.80 * (1 - relevant)
        - 0.15 * max(0, courtesies - 2)
        - 0.40 * min(insults, 2)
        - 0.60 * repeated
    )
    return Form(min(1.0, max(0.0, quality)), faults, broken)
