"""What a release does with the registry: the champion's bytes before its stage, models and verdict after it, then the decision."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignloop.core.metrics import format_win_rate
from alignloop.data.record_files import read
from alignloop.errors import Waiting
from alignloop.evaluation.results_table import one_line, tables
from alignloop.labeling import reviews
from alignloop.labeling.database import Store, store_url
from alignloop.labeling.reviews import Pair
from alignloop.params import Params
from alignloop.records import Answer
from alignloop.release import champion, registration
from alignloop.release.gates import told
from alignloop.seeds import draws
from alignloop.tracking import registry

SHOWN, LETTERS = 3, 150  # on the page of a version; all of them are in its report


def bring_champion(root: Path, params: Params, inputs: Mapping[str, str], place: Path) -> None:
    """Put what the last round's policy is compared with into `place`; nothing where that is SFT."""
    path = f"models/{list(params.rounds)[-1]}/policy"
    if path in inputs:  # the stage itself says what is missing
        champion.bring(root, f"{params.release.registry}-policy", inputs[path], place)


def register(
    root: Path, params: Params, inputs: Mapping[str, str], answers: Path, metrics: Path, run: str
) -> str:
    """Register what the release holds, and say all that is to be said of it."""
    found = json.loads(metrics.read_text(encoding="utf-8"))
    verdict, results = told(found["verdict"]), tables(found)
    shown = _side_by_side(
        _pairs(read(answers / "answers.jsonl", Answer)),
        "champion" if found["verdict"]["against_champion"] else "SFT",
    )
    versions = registration.publish(root, params, inputs, run, results, found["verdict"], verdict, shown)
    names = ", ".join(version.label for version in versions.values())
    return f"\n{results}\n{verdict}\nregistered {names}"


def settle(root: Path, params: Params, answers: Path, metrics: Path) -> str:
    """What becomes of the candidate, in words. Where a person has to decide, reviewers are asked too, and Waiting is raised."""
    candidate = registry.find(root, f"{params.release.registry}-policy@candidate")
    if entry := champion.decided(root, candidate.hash):
        return f"{candidate.label}: decided before: {entry.words}"
    if candidate.tags["gates"] != "passed":
        return f"{candidate.label}: its gates refused it; it stays registered, marked gates=failed, and the champion stays"
    if params.release.approval == "automatic":
        entry = champion.approve(root, candidate, champion.GATES, "met every rule of release.gates")
        return f"{candidate.label}: is the champion now: {entry.words}"
    asked = _ask(
        root,
        params,
        candidate,
        read(answers / "answers.jsonl", Answer),
        json.loads(metrics.read_text(encoding="utf-8"))["verdict"],
    )
    raise Waiting(
        f"{candidate.label} met its gates and waits for a person: `python -m alignloop review` shows it beside the other, and "
        "`python -m alignloop review approve --name YOU --reason WHY`, or reject, decides; "
        f"reviewers compare {asked} pairs at {params.people.url.rstrip('/')}/review. The same command continues then"
    )


def _ask(
    root: Path,
    params: Params,
    candidate: registry.Version,
    answers: Sequence[Answer],
    verdict: Mapping[str, Any],
) -> int:
    """Offer some prompts, drawn once for a candidate, with both answers to reviewers; returns how many."""
    known_pairs = _pairs(answers)
    order = draws(params.seed, "review", candidate.hash).permutation(len(known_pairs))[
        : params.people.review_prompts
    ]
    pairs = [known_pairs[place] for place in order]
    known = (
        registry.versions(root, champion.counterpart(root, candidate.hash))
        if verdict["against_champion"]
        else []
    )
    other = next((f"{each.name}/{each.version}" for each in known), "SFT")
    wins = {judge: format_win_rate(win) for judge, win in verdict["wins"].items() if win}
    store = Store(store_url(root))
    try:
        name = f"{candidate.name}/{candidate.version}"
        reviews.publish(
            store,
            candidate.hash,
            name,
            other,
            pairs,
            params.people.review_votes,
            {"gates": told(verdict), "wins": wins},
        )
    finally:
        store.close()
    return len(pairs)


def _pairs(answers: Sequence[Answer]) -> list[Pair]:
    """Each prompt that both answered, with the candidate's answer and the other's."""
    theirs = {answer.prompt.id: answer.response for answer in answers if answer.model != "policy"}
    mine = [answer for answer in answers if answer.model == "policy" and answer.prompt.id in theirs]
    return [Pair(answer.prompt, answer.response, theirs[answer.prompt.id]) for answer in mine]


def _side_by_side(pairs: Sequence[Pair], other: str) -> str:
    """The first prompts that are answered differently, and both answers, in Markdown."""
    shown = []
    for pair in [pair for pair in pairs if pair.mine != pair.theirs][:SHOWN]:
        asked, mine, theirs = (
            one_line(text, LETTERS) for text in (pair.prompt.messages[-1].content, pair.mine, pair.theirs)
        )
        shown.append(f"> {asked}\n\n- candidate: {mine}\n- {other}: {theirs}")
    return "\n\n".join(shown)
