"""What a run needs of its data: all that is missing, each with the command that brings it, and what fits.

Without plain text, a run on a checkpoint has no pretraining loss in PPO and no perplexity. With rankings,
the reward model can learn from them alone.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from alignloop.core.hub_ids import is_local
from alignloop.data.formats.sources import DEMONSTRATION_ROW, PREFERENCE_ROW
from alignloop.data.source_survey import Survey
from alignloop.errors import AlignloopError
from alignloop.params import Params

CHECKPOINT = "YOUR-CHECKPOINT"
HIGH_RATE = 5e-4  # of learning, for a checkpoint: fine-tuning recipes stay far below


class DataMissing(AlignloopError):
    """The sources lack what the run needs; the message names all of it, each with a command."""


def check(params: Params, found: Survey, files: Sequence[str] = ()) -> None:
    """Raise DataMissing unless the sources hold what params.yaml asks for.

    `files` are those that the run was given, for the commands in the message.
    """
    if not found.is_certain:
        return  # the stages check again, when every row has been read
    if missing := _missing(params, found, files):
        sources = ", ".join(found.sources) or "data/sources is empty"
        count = "1 thing is" if len(missing) == 1 else f"{len(missing)} things are"
        raise DataMissing("\n".join([f"{count} missing for this run ({sources}):", *missing]))


def _missing(params: Params, found: Survey, files: Sequence[str]) -> list[str]:
    """What is missing, each in a line or two with the commands that help below it."""
    has_base = params.base and (Path(params.base).exists() or not is_local(params.base))
    named = params.base if has_base else CHECKPOINT
    base = [f"base={named}"] if params.base else []
    asking = _keys_that_need_text(params)
    off = [f"{key}={value}" for key, value in asking.items()]
    missing: list[str] = []
    if not found.kinds & {"demonstrations", "rankings"}:
        missing.append(
            "- good responses to learn from: no file holds any, nor preferences with chosen responses.\n"
            f"  Add a file of rows like {PREFERENCE_ROW}\n  or {DEMONSTRATION_ROW}:\n"
            f"{_adding('YOUR-FILE.jsonl', files, base)}"
        )
    if params.label.kind == "imported" and "rankings" not in found.kinds:
        # the built-in environment reads no files, and a run on files no built-in text
        together = ["YOUR-TEXT.txt"] if params.ingest.makes_world else files
        missing.append(
            "- preferences: label.kind is imported, and no file holds any.\n"
            f"  Add a file of rows like {PREFERENCE_ROW},\n  or let a panel (simulated), people or a judge "
            "model rank:\n"
            f"{_adding('YOUR-PREFERENCES.jsonl', together, base)}\n"
            f"{_setting(['label.kind=panel'], files, base)}"
        )
    if params.base and not has_base:
        missing.append(
            f"- the checkpoint {params.base}: there is no such folder.\n"
            "  Name one that holds config.json and safetensors, or a hub id (owner/name):\n"
            f"{_setting([f'base={CHECKPOINT}'], files, [])}"
        )
    if "documents" in found.kinds:
        return missing
    if params.base is None:
        # a run on named files switches off by itself what needs text
        checkpoint = [f"base={CHECKPOINT}", *([] if files else off)]
        missing.append(
            "- a base model, or plain text to make one of.\n"
            "  Name a checkpoint (a folder or a hub id), or add a .txt file:\n"
            f"{_setting(checkpoint, files, [])}\n{_adding('YOUR-TEXT.txt', files, [])}"
        )
    elif asking:
        missing.append(
            f"- plain text: {', '.join(asking)} {'asks' if len(asking) == 1 else 'ask'} for it.\n"
            "  Add a .txt file, or switch off what asks:\n"
            f"{_adding('YOUR-TEXT.txt', files, base)}\n{_setting(off, files, base)}"
        )
    return missing


def _adding(name: str, files: Sequence[str], values: Sequence[str]) -> str:
    """The command that adds a file: a run on one more, or a copy into the folder of a run without any."""
    return _run([*files, name], values) if files else f"    cp {name} data/sources/"


def _setting(changes: Sequence[str], files: Sequence[str], values: Sequence[str]) -> str:
    return _run(files, [*values, *changes])


def _run(files: Sequence[str], values: Sequence[str]) -> str:
    named = f'run-files FILES="{" ".join(files)}"' if files else "run"
    options = " ".join(f"--set {value}" for value in values)
    return f'    make {named} ARGS="{options}"' if options else f"    make {named}"


def _keys_that_need_text(params: Params) -> dict[str, str]:
    """The keys that cannot be followed without plain text, with the values that switch them off."""
    keys: dict[str, str] = {}
    methods = {plan.by for plan in params.rounds.values()}
    for name, plan in (("ppo", params.ppo), ("dpo", params.dpo)):
        if name in methods and plan.ptx_coef:
            keys[f"{name}.ptx_coef"] = "0.0"
    if params.sft.pretrain_share:
        keys["sft.pretrain_share"] = "0.0"
    if params.release.gates.max_perplexity_ratio is not None:
        keys["release.gates.max_perplexity_ratio"] = "null"
    return keys


def fitting_values(params: Params, found: Survey, given: Collection[str], kind_before: Any) -> dict[str, Any]:
    """What in params.yaml fits the files better than `params`, by key.

    The keys in `given` were chosen and stay. One round is planned where rankings come from the files alone,
    unless the last run was such a run (`kind_before`): then rounds were added on purpose.
    """
    values: dict[str, Any] = {}
    if params.base and "documents" not in found.kinds and found.is_certain:
        values |= {"ppo.ptx_coef": 0.0, "dpo.ptx_coef": 0.0, "release.gates.max_perplexity_ratio": None}
    if "rankings" in found.kinds:
        values["label.kind"] = "imported"
    values = {key: value for key, value in values.items() if not _is_given(key, given)}
    kind = values.get("label.kind", params.label.kind)
    if kind == "imported" and kind_before != "imported" and not _is_given("rounds", given):
        name, plan = next(iter(params.rounds.items()))
        values["rounds"] = {name: plan.model_dump()}
    return values


def _is_given(key: str, given: Collection[str]) -> bool:
    """Whether a key, its section or a part of it was given."""
    return any(f"{each}.".startswith(f"{key}.") or f"{key}.".startswith(f"{each}.") for each in given)


def statements(params: Params, found: Survey) -> list[str]:
    """What the files decide, in one line each."""
    said: list[str] = []
    if params.base and max(params.sft.learning_rate, params.reward.learning_rate) >= HIGH_RATE:
        said.append(
            "learning rates are for a small model made here; for a checkpoint of millions of weights lower "
            "sft., reward. and ppo.learning_rate, and ppo.value_learning_rate (docs/how-to.md)"
        )
    if params.base and "documents" not in found.kinds and found.is_certain:
        said.append("no plain text: the policy has no pretraining loss (ptx), and no perplexity is measured")
    if "rankings" in found.kinds and "demonstrations" not in found.kinds:
        said.append("no demonstrations: the chosen responses of the rankings are the demonstrations")
    if params.label.kind == "imported":
        rounds = len(params.rounds)
        said.append(
            "no new labels: the reward model learns from the rankings in your files alone (label.kind: "
            f"imported){'' if rounds == 1 else f'; each of the {rounds} rounds trains further on the same'}"
        )
    elif params.label.kind == "panel" and params.label.panel_utility == "form":
        said.append(
            "each round's new rankings are SIMULATED, by the form of a response alone (label.kind: panel): "
            "nobody's preference; add a preference file, or set label.kind to people or judge"
        )
    return said
