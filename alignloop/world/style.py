"""The form of an answer: length, sentence, touch, repetition, rudeness, and words that fit the behaviour."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from random import Random

from alignloop.records import Prompt
from alignloop.seeds import seed_of
from alignloop.world import wording
from alignloop.world.behaviours import BEHAVIOURS
from alignloop.world.behaviours.behaviour import Verdict
from alignloop.world.reading import Reading, words_of
from alignloop.world.things import POOLS, STRANGERS, THINGS, make_facts

ENDLESS = 40  # words; no good answer has half of it
_KINDS = {
    **{word: f"<{name}>" for name, pool in POOLS.items() for word in pool},
    **dict.fromkeys(THINGS, "<thing>"),
    **dict.fromkeys(STRANGERS, "<stranger>"),
}  # fmt: skip
_TOUCHES = wording.LEADS + wording.TAILS


@dataclass(frozen=True)
class Form:
    """How an answer is put: `quality` in [0, 1], `faults` that no good answer has, and `broken` where it is no answer at all."""

    quality: float
    faults: tuple[str, ...]
    broken: str | None


def _pairs(sentence: tuple[str, ...]) -> list[tuple[str, str]]:
    kinds = ["^", *(_KINDS.get(word, word) for word in sentence), "$"]
    return list(pairwise(kinds))


@cache
def _expected(behaviour: str) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The kinds of words and of neighbouring words in good answers, whatever the world's facts are."""
    facts, rng, answers = (
        make_facts(0, 48),
        Random(seed_of(0, "expected", behaviour)),
        [*wording.LEADS, *wording.TAILS],
    )
    for _ in range(1200):
        answers.append(BEHAVIOURS[behaviour].good(BEHAVIOURS[behaviour].ask(facts, rng).key, facts, rng))
    return _parts(answers)


@cache
def _spoken() -> frozenset[tuple[str, str]]:
    """The neighbouring words of anything that people here say, good or bad."""
    facts, rng, answers = (
        make_facts(0, 48),
        Random(seed_of(0, "spoken")),
        [*wording.PADS, *wording.INSULTS, *wording.ASTRAY],
    )
    for behaviour in BEHAVIOURS.values():
        for _ in range(200):
            key = behaviour.ask(facts, rng).key
            answers += [make(key, facts, rng) for make in behaviour.bad.values()]
    return _parts(answers)[1].union(*(_expected(name)[1] for name in BEHAVIOURS))


def _parts(texts: list[str]) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    pairs = frozenset(
        pair for text in set(texts) for sentence in Reading(text).sentences for pair in _pairs(sentence)
    )
    return frozenset(word for pair in pairs for word in pair), pairs


def relevance(prompt: Prompt, reading: Reading, behaviour: str) -> float:
    """The share of words and of neighbouring words that good answers, or the prompt, have too."""
    words, pairs = _expected(behaviour)
    asked = {word for message in prompt.messages for word in words_of(message.content)}
    known = sum(word in asked or _KINDS.get(word, word) in words for word in reading.words)
    return 0.5 * known / max(1, len(reading.words)) + 0.5 * _share(reading, pairs)


def _share(reading: Reading, pairs: frozenset[tuple[str, str]]) -> float:
    found = [pair in pairs for sentence in reading.sentences for pair in _pairs(sentence)]
    return sum(found) / max(1, len(found))


def repetition(reading: Reading) -> float:
    """The share of groups of three words that occurred before in the same answer."""
    groups = list(zip(reading.words, reading.words[1:], reading.words[2:], strict=False))
    return 1 - len(set(groups)) / len(groups) if groups else 0.0


def length_fit(reading: Reading, band: tuple[int, int]) -> float:
    """1 in the middle half of the band, .9 at its edges, falling steadily beyond; in characters."""
    low, high = 4.0 * band[0], 6.0 * band[1] + 6
    length, quarter = float(len(" ".join(reading.text.split()))), (high - low) / 4
    within = (
        max(0.0, low + quarter - length, length - high + quarter) / quarter
    )  # 0 in the middle half, 1 at the edges
    return 1 - 0.1 * within if within <= 1 else max(-1.0, 0.9 - max(low - length, length - high) / high)


def form_of(prompt: Prompt, reading: Reading, verdict: Verdict, behaviour: str) -> Form:
    """The form of an answer to a prompt, given the verdict on its matter."""
    words, (low, high) = len(reading.words), verdict.band
    relevant, repeated = relevance(prompt, reading, behaviour), repetition(reading)
    touches = reading.count(_TOUCHES) + reading.count(wording.APOLOGIES)
    insults, text = reading.count(wording.RUDE), reading.text.strip()
    broken = (
        "empty" if not words
        else "endless" if words > ENDLESS
        else "repeated" if repeated > 0.3
        else "garbled" if _share(reading, _spoken()) < 0.5 and words > 1
        else None
    )  # fmt: skip
    faults = (
        *(("curt",) if words < low else ()),
        *(("padded",) if words > high + 3 or touches > 3 else ()),
        *(("rude",) if insults else ()),
        *(("repetitive",) if repeated > 0.1 else ()),
        *(("off-topic",) if relevant < 0.8 else ()),
        *(("unfinished",) if text[-1:] not in (".", "!", "?") and high > 1 else ()),
    )
    quality = (
        0.20 * length_fit(reading, verdict.band)
        + 0.08 * (text[-1:] in (".", "!", "?"))
        + 0.06 * text[:1].isupper()
        + 0.22 * verdict.named
        + 0.22 * (verdict.touch in (None, touches > 0))
        + 0.22
        - 0.80 * (1 - relevant)
        - 0.15 * max(0, touches - 2)
        - 0.40 * min(insults, 2)
        - 0.60 * repeated
    )
    return Form(min(1.0, max(0.0, quality)), faults, broken)
