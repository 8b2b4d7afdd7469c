"""Steps around the stage `release`: fetch the champion; register the models; decide about the candidate."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignloop.core.metrics import format_win_rate
from alignloop.data.record_files import read
from alignloop.errors import Waiting
from alignloop.evaluation.results_table import tables
from alignloop.labeling import reviews
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.reviews import Pair
from alignloop.markdown import SHORT_QUOTE_CHARACTERS, one_line
from alignloop.params import Params
from alignloop.records import EvaluatedResponse
from alignloop.release import champion, registration
from alignloop.release.gates import render_verdict
from alignloop.seeds import draws
from alignloop.tracking import registry

EXAMPLES = 3  # on the page of a version; its report has all of them


def fetch_champion(root: Path, params: Params, inputs: Mapping[str, str], target: Path) -> None:
    """Download what the last round's policy is compared with to `target`; nothing if that is SFT."""
    path = f"models/{list(params.rounds)[-1]}/policy"
    if path in inputs:  # if not, the stage itself reports what is missing
        champion.fetch_comparison_model(root, f"{params.release.registry}-policy", inputs[path], target)


def register_release(
    root: Path, params: Params, inputs: Mapping[str, str], *, responses: Path, metrics: Path, run: str
) -> str:
    """Register the models of the release, and return its results, verdict and versions as text."""
    report = json.loads(metrics.read_text(encoding="utf-8"))
    verdict, results = render_verdict(report["verdict"]), tables(report)
    pairs = _pairs(read(responses / "responses.jsonl", EvaluatedResponse))
    examples = _side_by_side(pairs, "champion" if report["verdict"]["against_champion"] else "SFT")
    versions = registration.register_models(
        root,
        params,
        hashes=inputs,
        run=run,
        results=results,
        verdict=report["verdict"],
        verdict_text=verdict,
        examples=examples,
    )
    labels = ", ".join(version.label for version in versions.values())
    return f"\n{results}\n{verdict}\nregistered {labels}"


def loop_page(metrics: Path, run: str) -> str:
    """Return the page of the loop whose release this run is, in Markdown: verdict, picture and results."""
    report = json.loads(metrics.read_text(encoding="utf-8"))
    return "\n\n".join([render_verdict(report["verdict"]), registration.links(run), tables(report)])


def decide_candidate(root: Path, params: Params, responses: Path, metrics: Path) -> str:
    """Return what became of the candidate, as text.

    With automatic approval, passed gates make it the champion. Otherwise its review is opened, and Waiting is
    raised until a person has decided.
    """
    candidate = registry.find(root, f"{params.release.registry}-policy@candidate")
    if entry := champion.last_decision(root, candidate.hash):
        return f"{candidate.label}: decided before: {entry.summary}"
    if candidate.tags["gates"] != "passed":
        return (
            f"{candidate.label}: its gates refused it; it stays registered, marked gates=failed, "
            "and the champion stays"
        )
    if params.release.approval == "automatic":
        entry = champion.approve(root, candidate, champion.GATES, "met every rule of release.gates")
        return f"{candidate.label}: is the champion now: {entry.summary}"
    verdict = json.loads(metrics.read_text(encoding="utf-8"))["verdict"]
    count = _open_review(
        root, params, candidate, read(responses / "responses.jsonl", EvaluatedResponse), verdict
    )
    raise Waiting(
        f"{candidate.label} met its gates and waits for a person: `python -m alignloop review` shows it "
        "beside the other, and `python -m alignloop review approve --name YOU --reason WHY`, or reject, "
        f"decides; reviewers compare {count} pairs at {params.people.url.rstrip('/')}/review. "
        "The same command continues then"
    )


def _open_review(
    root: Path,
    params: Params,
    candidate: registry.Version,
    responses: Sequence[EvaluatedResponse],
    verdict: Mapping[str, Any],
) -> int:
    """Publish some prompts with both responses to reviewers, drawn once per candidate; return how many."""
    all_pairs = _pairs(responses)
    order = draws(params.seed, "review", candidate.hash).permutation(len(all_pairs))
    pairs = [all_pairs[place] for place in order[: params.people.review_prompts]]
    matches: list[registry.Version] = []
    if verdict["against_champion"]:
        matches = registry.versions(root, champion.comparison_hash(root, candidate.hash))
    other = next((f"{each.name}/{each.version}" for each in matches), "SFT")
    wins = {judge: format_win_rate(win) for judge, win in verdict["wins"].items() if win}
    store = LabelingDatabase(database_url(root))
    try:
        reviews.publish(
            store,
            candidate.hash,
            candidate=f"{candidate.name}/{candidate.version}",
            other=other,
            pairs=pairs,
            votes=params.people.review_votes,
            report={"gates": render_verdict(verdict), "wins": wins},
        )
    finally:
        store.close()
    return len(pairs)


def _pairs(responses: Sequence[EvaluatedResponse]) -> list[Pair]:
    """Return each prompt that both models responded to, with the candidate's response and the other's."""
    theirs = {each.prompt.id: each.response for each in responses if each.model != "policy"}
    mine = [each for each in responses if each.model == "policy" and each.prompt.id in theirs]
    return [Pair(each.prompt, each.response, theirs[each.prompt.id]) for each in mine]


def _side_by_side(pairs: Sequence[Pair], other: str) -> str:
    """Return the first prompts with different responses, and both responses, in Markdown."""
    examples = []
    for pair in [pair for pair in pairs if pair.candidate != pair.other][:EXAMPLES]:
        texts = (pair.prompt.messages[-1].content, pair.candidate, pair.other)
        prompt, mine, theirs = (one_line(text, SHORT_QUOTE_CHARACTERS) for text in texts)
        examples.append(f"> {prompt}\n\n- candidate: {mine}\n- {other}: {theirs}")
    return "\n\n".join(examples)
