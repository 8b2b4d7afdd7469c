"""Policies that were trained elsewhere: taken as a checkpoint, evaluated and held to the release gates.

What such a policy learned from is not known here; its checkpoint, and an adapter's base, are its lineage.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from alignloop.core.adopted import policy_of
from alignloop.core.models import load_policy, save_policy
from alignloop.core.sampler import OwnSampler
from alignloop.data.record_files import read
from alignloop.errors import AlignloopError
from alignloop.evaluation.other_tokenizer import same_tokens
from alignloop.evaluation.responses import ModelResponses, TestSet, kl_to, load_test_set, respond, summary
from alignloop.evaluation.side_by_side import contrasts, render
from alignloop.files import replacing, rounded
from alignloop.markdown import SHORT_QUOTE_CHARACTERS
from alignloop.params import Params
from alignloop.pipeline.dvc_lock import untraced_inputs
from alignloop.pipeline.stage_files import hashes
from alignloop.records import EvaluatedResponse
from alignloop.release import champion, registration
from alignloop.release.gates import compare_responses, evaluate_gates, render_verdict
from alignloop.release.rule_gates import RuleGates
from alignloop.rules import red_team_file, rule_file
from alignloop.tracking import ActiveRun, registry

FOLDER = Path("models", "adopted")
CHAMPION = Path(".cache", "adopt-champion")
NO_KL = (
    "its tokenizer is not SFT's, so its KL to SFT is not known: max_kl_per_response_nats is not met, "
    "unless it is null; lengths, diversity and perplexity are in SFT's tokens"
)


class AdoptError(AlignloopError):
    """What an evaluation needs is missing; the message names all of it."""


@dataclass(frozen=True)
class Judged:
    """What came out: the verdict of the gates, the policy's numbers, and notes for people."""

    verdict: dict[str, Any]
    numbers: dict[str, Any]
    responses: list[EvaluatedResponse]  # the policy's, then the other model's
    notes: list[str]


def missing(params: Params, root: Path) -> list[str]:
    """The paths that an evaluation reads and that are not there."""
    last = list(params.rounds)[-1]
    metrics = root / "metrics" / "rounds" / last
    needed = [root / "models" / "sft", root / "models" / last / "reward", root / champion.STATE]
    needed += [metrics / f"{name}.json" for name in ("evaluate", "reward", "label")]
    needed += [root / "data" / "prompts" / "test.jsonl", root / "data" / "evaluation" / last]
    return [path.relative_to(root).as_posix() for path in needed if not path.exists()]


def take(checkpoint: str, base: str | None, out: Path) -> str | None:
    """Write the policy to `out`, an adapter merged into its base; returns that base.

    Raises CheckpointError or TokenizerError.
    """
    model, tokenizer, merged_into = policy_of(checkpoint, base)
    with replacing(out) as part:
        save_policy(model, tokenizer, part)
    return merged_into


def check_new(root: Path, params: Params, checkpoint: str, hash: str) -> None:
    """Raise AdoptError if a release of this project has registered these bytes."""
    name = f"{params.release.registry}-policy"
    for version in registry.versions(root, hash):
        if version.name == name and version.tags.get("trained") != registration.TRAINED:
            raise AdoptError(
                f"{checkpoint}: these bytes are {version.label} already, made by {version.stage} of this "
                "project; there is nothing to adopt"
            )


def origins(root: Path, hash: str, *sources: str | None) -> dict[str, str]:
    """The DVC hashes of the folders that the policy was made of, by path; ids on the hub have none.

    One with the policy's own bytes, whose hash is `hash`, is left out: nothing was made of it.
    """
    places = [Path(source) for source in sources if source and Path(source).is_dir()]
    inside = [
        place.resolve().relative_to(root.resolve())
        if place.resolve().is_relative_to(root.resolve())
        else place.resolve()
        for place in places
    ]
    found = hashes(root, [place.as_posix() for place in inside])
    return {path: its_hash for path, its_hash in found.items() if its_hash != hash}


def judge(params: Params, root: Path, path: Path, hash: str) -> Judged:
    """Evaluate the policy at `path` on the test prompts that the other model responded to, by the gates.

    The other model is the champion, or SFT where there is none.
    """
    last = list(params.rounds)[-1]
    metrics = root / "metrics" / "rounds" / last
    evaluated, reward, label = (_json(metrics / f"{name}.json") for name in ("evaluate", "reward", "label"))
    tests = load_test_set(
        params.evaluate,
        root / "data" / "prompts",
        root / "data" / "corpus",
        root / "models" / last / "reward",
    )
    champion.fetch_comparison_model(root, f"{params.release.registry}-policy", hash, root / CHAMPION)
    against_champion = (root / CHAMPION).is_dir()
    if against_champion:
        drawn = _respond(params, "champion", root / CHAMPION, tests)
        theirs, other = drawn.responses, rounded(summary(drawn))
    else:
        known = read(root / "data" / "evaluation" / last / "responses.jsonl", EvaluatedResponse)
        theirs, other = [each for each in known if each.model == "sft"], evaluated["models"]["sft"]
    mine = _respond(params, "policy", path, replace(tests, prompts=[each.prompt for each in theirs]))
    kl, notes = _kl(params, root, mine), []
    if kl is None:
        notes.append(NO_KL)
    if mine.too_long:
        notes.append(f"{mine.too_long:,} test prompts are too long for it and were left out")
    reports = [_json(file) for file in sorted((root / "metrics" / "validation").glob("*.json"))]
    numbers = rounded(summary(mine))
    ruled = RuleGates(root / rule_file.FILE, root / red_team_file.FILE)
    ruled.measure({"policy": mine.responses})
    ruled.try_prompts(
        path, seed=params.seed, temperature=params.evaluate.temperature, decoding=params.decoding
    )
    verdict = evaluate_gates(
        params.release.gates,
        numbers,
        other,
        wins=compare_responses(mine.responses, theirs),
        kl=kl,
        reward=reward,
        violations=sum(part["violations"] for report in reports for part in report.values()),
        untraced=len(untraced_inputs(root, path.relative_to(root).as_posix())),
        against_champion=against_champion,
        rankings=label["all_rankings_by"],
        **ruled.values("policy"),
    )
    return Judged(verdict, {**numbers, "kl_to_sft_nats": kl}, [*mine.responses, *theirs], notes)


def register(
    root: Path,
    params: Params,
    judged: Judged,
    *,
    path: str,
    hash: str,
    run: ActiveRun,
    tags: Mapping[str, str],
    parents: Mapping[str, str],
) -> registry.Version:
    """Register the policy with the verdict, its origin and what it was measured on."""
    name = f"{params.release.registry}-policy"
    other = "champion" if judged.verdict["against_champion"] else "SFT"
    described = ", ".join(f"{key} {value}" for key, value in tags.items() if value)
    description = registration.fitted(
        [
            f"{name}: the adopted policy {path.rpartition('/')[2]}, trained elsewhere.",
            render_verdict(judged.verdict),
            render(contrasts(judged.responses), 1, other, SHORT_QUOTE_CHARACTERS),
            f"Bytes: `{path}`, DVC {hash}.\nWhat it learned from is not known here; {described}.",
        ]
    )
    generation = {
        "do_sample": True,
        "temperature": params.decoding.temperature,
        "max_new_tokens": params.decoding.max_new_tokens,
    }
    all_tags = {"stage": "adopt", "trained": registration.TRAINED, "run": run.id, **tags}
    version = registry.register(
        root,
        name,
        path,
        hash,
        run=run.id,
        description=description,
        parents=parents,
        tags=all_tags,
        generation=generation,
    )
    registry.annotate(root, version, {**all_tags, **registration.verdict_tags(judged.verdict)}, description)
    return registry.find(root, f"{version.name}/{version.version}")


def _respond(params: Params, name: str, path: Path, tests: TestSet) -> ModelResponses:
    plan = params.evaluate
    if name == "policy":  # all that the other one responded to
        plan = plan.model_copy(update={"prompts": len(tests.prompts)})
    return respond(
        params.seed,
        plan,
        params.decoding,
        params.tools,
        name=name,
        path=path,
        tests=tests,
        sampler=OwnSampler(),
    )


def _kl(params: Params, root: Path, mine: ModelResponses) -> float | None:
    """KL(policy ‖ SFT) in nats per response; None where the tokenizers differ."""
    reference, tokenizer = load_policy(root / "models" / "sft")
    policy = mine.policy
    assert isinstance(policy, PreTrainedModel)
    same_rows = policy.config.vocab_size == reference.config.vocab_size
    if not same_tokens(mine.tokenizer, tokenizer) or not same_rows:
        return None
    return kl_to(reference, mine, params.evaluate.temperature)


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdoptError(f"{file}: cannot be read ({error}); `dvc repro` makes it again") from None
