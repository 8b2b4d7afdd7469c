"""Wins and losses of a candidate to read before deciding: by the reviewers' votes, and by the judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alignloop.evaluation.side_by_side import JUDGES, Contrast, selection_rule
from alignloop.labeling.reviews import VotedPair
from alignloop.markdown import number
from alignloop.records import Message
from alignloop.release.release_responses import RESPONSES, read_contrasts
from alignloop.web.sources import Readable, readable

EXAMPLES = 5  # of each outcome


class Example(NamedTuple):
    """A prompt with both responses, and what the reviewers or the judge said, in words."""

    messages: tuple[Message, ...]
    candidate: Readable
    other: Readable
    verdict: str


class Examples(NamedTuple):
    """Prompts on which the candidate is better and worse, with the rule by which they were chosen."""

    title: str
    rule: str
    better: list[Example]
    worse: list[Example]


def choose_examples(root: Path, report: dict[str, Any], voted: Sequence[VotedPair]) -> list[Examples]:
    """The examples by the votes, if there are any, and by the judge; no prompt is shown twice."""
    groups = []
    better, worse = _by_votes(voted)
    if voted:
        rule = (
            f"Of the {len(voted):,} prompts with votes, the candidate is preferred on "
            f"{sum(each.outcome > 0.5 for each in voted):,} and the other model on "
            f"{sum(each.outcome < 0.5 for each in voted):,}. Shown: of each, at most {EXAMPLES}, the "
            "clearest votes first, of equal ones those with more votes."
        )
        groups.append(
            Examples("By the reviewers' votes", rule, [*map(_voted, better)], [*map(_voted, worse)])
        )
    if found := read_contrasts(root / RESPONSES, report.get("responses", "")):
        shown = {each.pair.prompt.id for each in (*better, *worse)}
        chosen = [
            [_judged(each, JUDGES[found.judge]) for each in side if each.candidate.prompt.id not in shown]
            for side in (found.better, found.worse)
        ]
        rule = selection_rule(found, EXAMPLES)
        rule += " Prompts that are shown above are left out." if shown else ""
        title = f"By {JUDGES[found.judge]}"
        groups.append(Examples(title, rule, chosen[0][:EXAMPLES], chosen[1][:EXAMPLES]))
    return groups


def _by_votes(voted: Sequence[VotedPair]) -> tuple[list[VotedPair], list[VotedPair]]:
    """The pairs on which the candidate is preferred most, and those on which the other model is."""

    def clearest(pair: VotedPair) -> tuple[float, int]:
        return -abs(pair.outcome - 0.5), -(pair.candidate + pair.other + pair.same)

    order = sorted(voted, key=clearest)
    better, worse = (
        [each for each in order if each.outcome > 0.5],
        [each for each in order if each.outcome < 0.5],
    )
    return better[:EXAMPLES], worse[:EXAMPLES]


def _voted(each: VotedPair) -> Example:
    words = f"votes: {each.candidate} for the candidate, {each.other} for the other, {each.same} the same"
    mine, theirs = each.pair.turns
    said = readable(each.pair.candidate, mine), readable(each.pair.other, theirs)
    return Example(each.pair.prompt.messages, *said, words)


def _judged(each: Contrast, judge: str) -> Example:
    mine, theirs = (number(value, 2) for value in each.values)
    words = f"{judge}: candidate {mine}, the other {theirs}"
    candidate, other = each.candidate, each.other
    said = readable(candidate.response, candidate.turns), readable(other.response, other.turns)
    return Example(candidate.prompt.messages, *said, words)
