"""Publishing a release: its policy, reward model and SFT parent become registered versions that a reviewer can read."""

from collections.abc import Mapping
from pathlib import Path

from alignloop.io import lineage, registry
from alignloop.params import Params

KINDS = {"sft": "the SFT model", "reward": "the reward model", "policy": "the policy"}


def publish(root: Path, params: Params, hashes: Mapping[str, str], run: str, results: str) -> dict[str, registry.Version]:
    """Register what the release holds, parents first, and let `candidate` mean the policy. `run` keeps bytes whose own run is not here."""
    last = list(params.rounds)[-1]
    paths = {"sft": "models/sft", "reward": f"models/{last}/reward", "policy": f"models/{last}/policy"}
    known, made = lineage.graph(root), {}
    for kind, path in paths.items():
        hash, making = hashes[path], known.maker(path, hashes[path])
        inputs = making.inputs if making else {}
        registered = {version.hash: f"{version.name}/{version.version}" for version in made.values()}
        parents = {
            parent: f"{registered.get(its_hash, parent)} {its_hash}" for parent, its_hash in inputs.items() if parent.startswith("models/")
        }
        name = f"{params.release.registry}-{kind}"
        tags = {"stage": making.stage, "round": making.round or ""} if making else {}
        if making and making.run:
            tags |= {"run": making.run.id, "commit": making.run.commit}
        holder = making.run.id if making and making.run else run
        text = _description(known, kind, name, path, hash, parents, last, results)
        made[kind] = registry.register(root, name, path, hash, holder, text, parents, tags)
    registry.point(root, "candidate", made["policy"])
    return made


def _description(
    known: lineage.Graph, kind: str, name: str, path: str, hash: str, parents: Mapping[str, str], last: str, results: str
) -> str:
    making = known.maker(path, hash)
    lines = [f"{name}: {KINDS[kind]} of the release after round {last}.", ""]
    lines += [f"Bytes: `{path}`, DVC {hash}."]
    lines += [f"Made by {making.label}." if making else "No run or dvc.lock entry here tells what made it."]
    lines += ["", "Parents:", *(f"- {parent}: {what}" for parent, what in parents.items())] if parents else []
    if data := lineage.sources(known, path, hash):
        lines += [
            "",
            "Data, all of it:",
            *(f"- {inner}: {its_hash}, {size or 'size not recorded'}" for inner, (its_hash, size) in data.items()),
        ]
    lines += ["", "Results of the whole release:" if kind != "policy" else "Results:", "", results]
    return "\n".join(lines)
