"""Register the models of a release (SFT, reward model, policy) with descriptions for reviewers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignloop.core.metrics import format_win_rate
from alignloop.data.ranking_makers import describe
from alignloop.lineage import graph as lineage
from alignloop.lineage.graph import Execution, Graph
from alignloop.params import Params
from alignloop.release.gates import OUTCOMES
from alignloop.release.release_responses import TAG
from alignloop.tracking import registry

MAX_CHARACTERS = registry.MAX_CHARACTERS - 100  # the votes of reviewers are added later
RANKINGS_TAG = "rankings"  # of a version: who made the rankings that it learned from, with shares
TRAINED = "elsewhere"  # the tag `trained` of a version
KINDS = {"sft": "the SFT model", "reward": "the reward model", "policy": "the policy"}


def register_models(
    root: Path,
    params: Params,
    *,
    hashes: Mapping[str, str],
    run: str,
    results: str,
    verdict: Mapping[str, Any],
    verdict_text: str,
    examples: str,
    responses: str,
) -> dict[str, registry.Version]:
    """Register the models, parents first, and point the alias `candidate` at the policy.

    The policy gets the verdict, whether it passed or failed, and `examples`: responses side by side, from the
    file whose digest is `responses`. Policy and reward model say who ranked what they learned from. `run` is
    the release's own run: it keeps the picture and the report, and the bytes of models whose run is not in
    this store.
    """
    last = list(params.rounds)[-1]
    paths = {"sft": "models/sft", "reward": f"models/{last}/reward", "policy": f"models/{last}/policy"}
    graph, rankings = lineage.load_graph(root), describe(verdict["rankings_by"])
    adopted = params.rounds[last].start if params.rounds[last].by == "adopted" else None
    generation = {
        "do_sample": True,
        "temperature": params.decoding.temperature,
        "max_new_tokens": params.decoding.max_new_tokens,
    }
    versions: dict[str, registry.Version] = {}
    for kind, path in paths.items():
        hash, producer = hashes[path], graph.producer(path, hashes[path])
        registered = {version.hash: f"{version.name}/{version.version}" for version in versions.values()}
        parents = {
            parent: f"{registered.get(its_hash, parent)} {its_hash}"
            for parent, its_hash in (producer.inputs if producer else {}).items()
            if parent.startswith("models/") or parent == adopted
        }
        name = f"{params.release.registry}-{kind}"
        tags = {"stage": producer.stage, "round": producer.round or ""} if producer else {}
        if producer and producer.run:
            tags |= {"run": producer.run.id, "commit": producer.run.commit}
        if kind == "policy" and adopted:
            tags |= {"trained": TRAINED, "checkpoint": adopted}
        parts = [
            f"{name}: {KINDS[kind]} of the release after round {last}.",
            *((f"Trained elsewhere: {adopted}.",) if kind == "policy" and adopted else ()),
            *((f"Rankings that it learned from: {rankings}.",) if kind == "reward" else ()),
            *((verdict_text, links(run), examples) if kind == "policy" else ()),
            *_origin(graph, producer, path, hash, parents),
            "Results:" if kind == "policy" else "Results of the whole release:",
            *results.split("\n\n"),
        ]
        description = fitted(parts)
        versions[kind] = registry.register(
            root,
            name,
            path,
            hash,
            run=producer.run.id if producer and producer.run else run,
            description=description,
            parents=parents,
            tags=tags,
            generation=None if kind == "reward" else generation,
        )
        if kind == "reward":
            registry.annotate(root, versions[kind], {RANKINGS_TAG: rankings})
        if kind == "policy":
            release_tags = {"release_run": run, TAG: responses, RANKINGS_TAG: rankings}
            release_tags |= verdict_tags(verdict)
            registry.annotate(root, versions[kind], release_tags, description)
            if votes := versions[kind].tags.get("wins_people"):
                add_votes(root, replace(versions[kind], description=description), votes)
    registry.set_alias(root, "candidate", versions["policy"])
    return versions | {"policy": registry.find(root, f"{versions['policy'].name}@candidate")}


def add_votes(root: Path, version: registry.Version, votes: str) -> None:
    """Add the human win rate to a version's tags, and to the line of win rates in its description."""
    line = re.compile(r"^(Wins by .*?)(; by people: .*)?\.$", re.MULTILINE)
    text = line.sub(lambda match: f"{match[1]}; by people: {votes}.", version.description, count=1)
    registry.annotate(root, version, {"wins_people": votes}, text)


def verdict_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    """The verdict as tags of a version: of all gates, of each, and the win rates."""
    tags = {
        f"gate:{name}": f"{rule['value']}, bound {rule['bound']}: {OUTCOMES[rule['met']]}"
        for name, rule in verdict["rules"].items()
    }
    wins = {f"wins_{judge}": format_win_rate(win) for judge, win in verdict["wins"].items() if win}
    return {"gates": "passed" if verdict["passed"] else "failed", **tags, **wins}


def links(run: str) -> str:
    """Link the picture and the report of the release's run, by addresses relative to MLflow's pages."""
    place = f"get-artifact?run_uuid={run}&path="
    picture = f"![The rounds side by side]({place}figures/release.png)"
    return f"{picture}\n\n[All results, and each model's responses]({place}reports/results.md)"


def _origin(
    graph: Graph, producer: Execution | None, path: str, hash: str, parents: Mapping[str, str]
) -> list[str]:
    """Return the bytes' hash, the stage that made them, their parents and their data, in Markdown."""
    made_by = f"Made by {producer.label}." if producer else "No run or dvc.lock entry here made it."
    parts = [f"Bytes: `{path}`, DVC {hash}.\n{made_by}"]
    if parents:
        parts.append(
            "\n".join(["Parents:", *(f"- {parent}: {version}" for parent, version in parents.items())])
        )
    if data := lineage.source_datasets(graph, path, hash):
        sizes = (
            f"- {inner}: {its_hash}, {size or 'size not recorded'}"
            for inner, (its_hash, size) in data.items()
        )
        parts.append("\n".join(["Data, all of it:", *sizes]))
    return parts


def fitted(parts: Sequence[str]) -> str:
    """Join parts of Markdown, with tables made narrow; a part that exceeds MAX_CHARACTERS is left out."""
    text = ""
    for part in parts:
        narrow = part.strip()
        if "\n|" in f"\n{part}":
            narrow = re.sub(r"-{3,}", "---", re.sub(r"(?<=\|) +| +(?=\|)", " ", narrow))
        if len(text) + len(narrow) <= MAX_CHARACTERS:
            text += f"{narrow}\n\n"
    return text
