"""params.yaml, checked: every key has a type and a range here; an unknown key is an error."""

import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from alignloop.params.adopted import Adopted
from alignloop.params.checkpoints import CheckpointEvery
from alignloop.params.compute import Compute
from alignloop.params.contradictions import contradictions
from alignloop.params.distill import DistillStages
from alignloop.params.documents import CollectionPlans
from alignloop.params.dpo import Dpo
from alignloop.params.evaluate import Evaluate
from alignloop.params.ingest import Ingest
from alignloop.params.label import Label
from alignloop.params.ledger import Ledger
from alignloop.params.people import People
from alignloop.params.ppo import Ppo
from alignloop.params.prepare import Prepare
from alignloop.params.pretrain import Pretrain
from alignloop.params.release import Release
from alignloop.params.renamed_keys import renamed
from alignloop.params.reward import Reward
from alignloop.params.rollout import RolloutEngine
from alignloop.params.rounds import RoundPlans
from alignloop.params.sample import Decoding, Sample
from alignloop.params.score import Scoring
from alignloop.params.section import Count, Positive, Section, Whole
from alignloop.params.serving import Serving
from alignloop.params.sft import Sft
from alignloop.params.tools import Tools
from alignloop.params.validate import Validate
from alignloop.params.yaml_file import ParamsError, values_in


class Params(Section):
    seed: Whole
    threads: Count
    parallel_passes: Count
    compute: Compute
    memory_check: Literal["refuse", "warn"]
    checkpoint_every: CheckpointEvery
    checkpoint_minutes: Positive | None
    base: str | None
    distill: DistillStages
    ingest: Ingest
    validate_: Annotated[Validate, Field(alias="validate")]
    prepare: Prepare
    pretrain: Pretrain
    sft: Sft
    decoding: Decoding
    tools: Tools
    documents: CollectionPlans
    rollout: RolloutEngine
    sample: Sample
    label: Label
    people: People
    serving: Serving
    reward: Reward
    ppo: Ppo
    dpo: Dpo
    adopted: Adopted
    scoring: Scoring
    evaluate: Evaluate
    release: Release
    ledger: Ledger
    rounds: RoundPlans


def parse(data: Any, name: str) -> Params:
    """Check a parsed params.yaml, called `name` in messages. Raises ParamsError with every violation."""
    if not isinstance(data, dict):
        raise ParamsError(f"{name}: holds no mapping of keys; restore it with `git checkout {name}`")
    rounds = data.get("rounds")
    if isinstance(rounds, dict) and (wrong := [key for key in rounds if not isinstance(key, str)]):
        raise ParamsError(f"{name}: rounds: the name {wrong[0]!r} is not text; write r{wrong[0]}")
    try:
        params = Params.model_validate(data)
    except ValidationError as error:
        moved = dict(renamed(data))
        places = {*moved, *moved.values()}
        violations = [
            f"{old}: this key is now {new}; rename it, its value stays" for old, new in moved.items()
        ]
        violations += [_sentence(each) for each in error.errors() if _place(each) not in places]
        violations += contradictions(_valid_sections(data))
    else:
        violations = contradictions(dict(params))
        if not violations:
            return params
    raise ParamsError("\n".join(f"{name}: {violation}" for violation in violations))


def _valid_sections(data: dict[str, Any]) -> dict[str, Any]:
    """The sections that are valid by themselves, by their names in `Params`."""
    valid: dict[str, Any] = {}
    for name, field in Params.model_fields.items():
        kind: Any = field.annotation
        for bound in field.metadata:
            kind = Annotated[kind, bound]
        try:
            valid[name] = TypeAdapter(kind).validate_python(data.get(field.alias or name), strict=True)
        except ValidationError:
            continue  # its violations are named already
    return valid


def _place(violation: Any) -> str:
    # in brackets: pydantic's mark of a key, and tags of unions
    return ".".join(str(part) for part in violation["loc"] if not re.fullmatch(r"\[\w+\]", str(part)))


def _sentence(violation: Any) -> str:
    place = _place(violation)
    if violation["type"] == "extra_forbidden":
        return (
            f"{place}: unknown key; remove it or correct its spelling (alignloop/params lists the known ones)"
        )
    if violation["type"] == "missing":
        return (
            f"{place}: the key is missing; params.yaml in git has its default, and CHANGELOG.md what older "
            "files do without it"
        )
    message = violation["msg"].removeprefix("Value error, ")
    given = "" if isinstance(violation["input"], dict) else f", not {_short(violation['input'])}"
    return f"{place}: {message}{given}" if place else message


def _short(value: Any) -> str:
    """The value for a message, cut: with aliases, a few lines of YAML stand for more than memory holds.

    A password in an address is left out.
    """
    shown = reprlib.Repr()
    shown.maxlevel = 2
    shown.maxstring = 200
    return re.sub(r"//[^/@\s]+@", "//…@", shown.repr(value))


def load(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError naming the file and each offending key."""
    return parse(values_in(path, "run from the project's root, where params.yaml is"), path.name)
