"""Steps around the stage `release`: fetch the champion; register the models; decide about the candidate."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignloop.core.metrics import format_win_rate, win_rate_of_outcomes
from alignloop.data.record_files import read
from alignloop.errors import Waiting
from alignloop.evaluation.data_size import size_note
from alignloop.evaluation.results_table import tables
from alignloop.evaluation.side_by_side import contrasts, render
from alignloop.labeling import reviews
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.reviews import Pair
from alignloop.markdown import SHORT_QUOTE_CHARACTERS
from alignloop.params import Params
from alignloop.records import EvaluatedResponse
from alignloop.release import champion, decision, registration
from alignloop.release.gates import judged_by, over_optimisation, render_verdict
from alignloop.release.release_responses import RESPONSES, digest_of
from alignloop.seeds import draws
from alignloop.tracking import registry

EXAMPLES = 1  # of each outcome, on the page of a version; its report has more


def fetch_champion(root: Path, params: Params, inputs: Mapping[str, str], target: Path) -> None:
    """Download what the last round's policy is compared with to `target`; nothing if that is SFT."""
    path = f"models/{list(params.rounds)[-1]}/policy"
    if path in inputs:  # if not, the stage itself reports what is missing
        champion.fetch_comparison_model(root, f"{params.release.registry}-policy", inputs[path], target)


def register_release(
    root: Path, params: Params, inputs: Mapping[str, str], *, responses: Path, metrics: Path, run: str
) -> str:
    """Register the models of the release, and return the verdict in a sentence, and their versions."""
    report = json.loads(metrics.read_text(encoding="utf-8"))
    verdict, results = render_verdict(report["verdict"]), tables(report)
    other = "champion" if report["verdict"]["against_champion"] else "SFT"
    found = contrasts(read(responses / RESPONSES.name, EvaluatedResponse))
    versions = registration.register_models(
        root,
        params,
        hashes=inputs,
        run=run,
        results=results,
        verdict=report["verdict"],
        verdict_text=verdict,
        examples=render(found, EXAMPLES, other, SHORT_QUOTE_CHARACTERS),
        responses=digest_of(responses / RESPONSES.name),
    )
    labels = ", ".join(version.label for version in versions.values())
    sentence = verdict.partition("\n")[0].replace("**", "")
    parts = (sentence, size_note(report["data"]), f"registered {labels}")
    return "\n".join(part for part in parts if part)


def loop_page(metrics: Path, run: str) -> str:
    """Return the page of the loop whose release this run is, in Markdown: verdict, picture and results."""
    report = json.loads(metrics.read_text(encoding="utf-8"))
    return "\n\n".join([render_verdict(report["verdict"]), registration.links(run), tables(report)])


def decide_candidate(root: Path, params: Params, responses: Path, metrics: Path) -> str:
    """Return what became of the candidate, as text.

    With automatic approval, passed gates make it the champion if a judge that training cannot reach was
    asked; where people are that judge, their votes are waited for, and decide. Otherwise its review is
    opened, and Waiting is raised until a person has decided.
    """
    candidate = registry.find(root, f"{params.release.registry}-policy@candidate")
    if entry := champion.last_decision(root, candidate.hash):
        return f"{candidate.label}: decided before: {entry.summary}"
    if candidate.tags["gates"] != "passed":
        return (
            f"{candidate.label}: its gates refused it; it stays registered, marked gates=failed, "
            "and the champion stays"
        )
    verdict = json.loads(metrics.read_text(encoding="utf-8"))["verdict"]
    if params.release.approval == "automatic":
        if not judged_by(verdict["wins"]):
            return _decide_unjudged(root, params, candidate, responses / RESPONSES.name, verdict)
        entry = champion.approve(root, candidate, champion.GATES, "met every rule of release.gates")
        return f"{candidate.label}: is the champion now: {entry.summary}"
    count = _open_review(root, params, candidate, responses / RESPONSES.name, verdict)
    raise Waiting(
        f"{candidate.label} met its gates and waits for a person: `python -m alignloop review` shows it "
        "beside the other, and `python -m alignloop review approve --name YOU --reason WHY`, or reject, "
        f"decides; reviewers compare {count} pairs at {params.people.url.rstrip('/')}/review. "
        "The same command continues then"
    )


def _decide_unjudged(
    root: Path, params: Params, candidate: registry.Version, responses: Path, verdict: Mapping[str, Any]
) -> str:
    """Decide by people's blind votes where `evaluate.judge.by` asks for them, otherwise refuse to."""
    label = f"{candidate.name}/{candidate.version}"
    if params.evaluate.judge.by != "people":
        return (
            f"{candidate.label}: met its gates, but was not judged independently, so it is not approved "
            "automatically and the champion stays; set evaluate.judge, or decide yourself: "
            f"`python -m alignloop review approve {label} --name YOU --reason WHY`"
        )
    _open_review(root, params, candidate, responses, verdict)
    store = LabelingDatabase(database_url(root))
    try:
        with store.reading() as session:
            tally = reviews.tally(session, candidate.hash)
        if tally.votes < tally.wanted:
            raise Waiting(
                f"{candidate.label} met its gates and waits for people's blind votes: {tally.votes} of "
                f"{tally.wanted} are given; reviewers compare responses at "
                f"{params.people.url.rstrip('/')}/review. The same command continues then"
            )
        decision.record_votes(root, store, label)
        win = win_rate_of_outcomes(tally.outcomes or [0.5]).as_dict()
        over = over_optimisation(verdict["wins"], win) or 0.0
        said = f"win rate {format_win_rate(win)} by people, over-optimisation {over:.3f}"
        gates = params.release.gates
        met = {
            "min_win_rate": gates.min_win_rate is None or win["low"] >= gates.min_win_rate,
            "max_over_optimisation": gates.max_over_optimisation is None
            or over <= gates.max_over_optimisation,
        }
        missed = [f"{name} {getattr(gates, name):g}" for name, is_met in met.items() if not is_met]
        if missed:
            entry = champion.reject(root, candidate, champion.GATES, f"not met: {', '.join(missed)}: {said}")
        else:
            entry = champion.approve(root, candidate, champion.GATES, f"met every rule: {said}")
        reviews.close(store, candidate.hash, champion.GATES, entry.reason)
    finally:
        store.close()
    return f"{candidate.label}: decided by people's votes: {entry.summary}"


def _open_review(
    root: Path,
    params: Params,
    candidate: registry.Version,
    responses: Path,
    verdict: Mapping[str, Any],
) -> int:
    """Publish some prompts with both responses to reviewers, drawn once per candidate; return how many."""
    all_pairs = _pairs(read(responses, EvaluatedResponse))
    order = draws(params.seed, "review", candidate.hash).permutation(len(all_pairs))
    pairs = [all_pairs[place] for place in order[: params.people.review_prompts]]
    matches: list[registry.Version] = []
    if verdict["against_champion"]:
        matches = registry.versions(root, champion.comparison_hash(root, candidate.hash))
    other = next((f"{each.name}/{each.version}" for each in matches), "SFT")
    store = LabelingDatabase(database_url(root))
    try:
        reviews.publish(
            store,
            candidate.hash,
            candidate=f"{candidate.name}/{candidate.version}",
            other=other,
            pairs=pairs,
            votes=params.people.review_votes,
            report={"verdict": verdict, "responses": digest_of(responses)},
        )
    finally:
        store.close()
    return len(pairs)


def _pairs(responses: Sequence[EvaluatedResponse]) -> list[Pair]:
    """Return each prompt that both models responded to, with the candidate's response and the other's."""
    theirs = {each.prompt.id: each for each in responses if each.model != "policy"}
    both = [
        (each, theirs[each.prompt.id])
        for each in responses
        if each.model == "policy" and each.prompt.id in theirs
    ]
    return [
        Pair(mine.prompt, mine.response, other.response, (mine.turns, other.turns)) for mine, other in both
    ]
