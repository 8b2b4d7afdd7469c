"""Publishing a release: its policy, reward model and SFT parent become registered versions that a reviewer can read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from alignloop.core.metrics import format_win_rate
from alignloop.lineage import graph
from alignloop.params import Params
from alignloop.tracking import registry

ROOM = registry.LONGEST - 100  # what people said comes later
KINDS = {"sft": "the SFT model", "reward": "the reward model", "policy": "the policy"}


def publish(
    root: Path,
    params: Params,
    hashes: Mapping[str, str],
    run: str,
    results: str,
    verdict: Mapping[str, Any],
    told: str,
    shown: str,
) -> dict[str, registry.Version]:
    """Register what the release holds, parents first, and let `candidate` mean the policy, which bears the verdict, whatever it is.

    `run` is the release's own: it keeps the picture and the report, and bytes whose own run is not here. `told` is the verdict in
    words, `shown` answers side by side.
    """
    last = list(params.rounds)[-1]
    paths = {"sft": "models/sft", "reward": f"models/{last}/reward", "policy": f"models/{last}/policy"}
    known, made = graph.graph(root), {}
    for kind, path in paths.items():
        hash, making = hashes[path], known.maker(path, hashes[path])
        inputs = making.inputs if making else {}
        registered = {version.hash: f"{version.name}/{version.version}" for version in made.values()}
        parents = {
            parent: f"{registered.get(its_hash, parent)} {its_hash}"
            for parent, its_hash in inputs.items()
            if parent.startswith("models/")
        }
        name = f"{params.release.registry}-{kind}"
        tags = {"stage": making.stage, "round": making.round or ""} if making else {}
        if making and making.run:
            tags |= {"run": making.run.id, "commit": making.run.commit}
        holder = making.run.id if making and making.run else run
        words = (told, _pages(run), shown) if kind == "policy" else ()
        text = _description(known, making, kind, name, path, hash, parents, last, results, words)
        made[kind] = registry.register(root, name, path, hash, holder, text, parents, tags)
        if kind == "policy":
            registry.describe(root, made[kind], {"release_run": run, **_verdict_tags(verdict)}, text)
            if votes := made[kind].tags.get("wins_people"):
                keep_votes(root, replace(made[kind], description=text), votes)
    registry.point(root, "candidate", made["policy"])
    return made | {"policy": registry.find(root, f"{made['policy'].name}@candidate")}


def keep_votes(root: Path, version: registry.Version, votes: str) -> None:
    """Put what people said of a version beside what gold and the reward model say: in its tags and in its description."""
    line = re.compile(r"^(Wins by .*?)(; by people: .*)?\.$", re.MULTILINE)
    text = line.sub(lambda found: f"{found[1]}; by people: {votes}.", version.description, count=1)
    registry.describe(root, version, {"wins_people": votes}, text)


def _verdict_tags(verdict: Mapping[str, Any]) -> dict[str, str]:
    said = {True: "met", False: "NOT MET", None: "not asked"}
    tags = {
        f"gate:{name}": f"{rule['value']}, bound {rule['bound']}: {said[rule['met']]}"
        for name, rule in verdict["rules"].items()
    }
    wins = {f"wins_{judge}": format_win_rate(win) for judge, win in verdict["wins"].items() if win}
    return {"gates": "passed" if verdict["passed"] else "failed", **tags, **wins}


def _pages(run: str) -> str:
    """The picture and the report that the release's run keeps, by addresses that MLflow's pages resolve."""
    place = "get-artifact?run_uuid=" + run + "&path="
    return f"![The rounds side by side]({place}figures/release.png)\n\n[All results, and what each model answers]({place}reports/results.md)"


def _description(
    known: graph.Graph,
    making: graph.Making | None,
    kind: str,
    name: str,
    path: str,
    hash: str,
    parents: Mapping[str, str],
    last: str,
    results: str,
    told: Sequence[str],
) -> str:
    made = f"Made by {making.label}." if making else "No run or dvc.lock entry here tells what made it."
    parts = [
        f"{name}: {KINDS[kind]} of the release after round {last}.",
        *told,
        f"Bytes: `{path}`, DVC {hash}.\n{made}",
    ]
    parts += (
        ["\n".join(["Parents:", *(f"- {parent}: {what}" for parent, what in parents.items())])]
        if parents
        else []
    )
    if data := graph.sources(known, path, hash):
        sizes = (
            f"- {inner}: {its_hash}, {size or 'size not recorded'}"
            for inner, (its_hash, size) in data.items()
        )
        parts.append("\n".join(["Data, all of it:", *sizes]))
    return _fitted(
        [*parts, "Results of the whole release:" if kind != "policy" else "Results:", *results.split("\n\n")]
    )


def _fitted(parts: Sequence[str]) -> str:
    """Parts of Markdown with narrow tables, one after the other; what there is no room for is left out whole."""
    text = ""
    for part in parts:
        narrow = (
            re.sub(r"-{3,}", "---", re.sub(r"(?<=\|) +| +(?=\|)", " ", part.strip()))
            if "\n|" in f"\n{part}"
            else part.strip()
        )
        if len(text) + len(narrow) <= ROOM:
            text += f"{narrow}\n\n"
    return text
