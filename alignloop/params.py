"""The frozen mirror of params.yaml: every key has a type and a range here and its value there; an unknown key is an error."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from alignloop.errors import AlignloopError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]

Labelers = Literal["panel", "people", "judge"]
Rating = Literal[
    "overall",
    "fails_instruction",
    "inappropriate",
    "hallucination",
    "satisfies_constraint",
    "sexual",
    "violent",
    "encourages_harm",
    "denigrates",
    "harmful_advice",
    "opinion",
    "moral_judgment",
]
Guarded = Literal["max_kl_per_response_nats", "min_entropy_per_token_nats", "min_distinct_2", "min_ended", "max_held_out_fall"]
About = Literal["ambiguous", "sensitive", "category"]


class ParamsError(AlignloopError):
    """params.yaml cannot be used; the message says which key, why, and what to do."""


class Section(BaseModel):
    """What all sections share: immutable, strict about keys and types, no defaults (those live in params.yaml)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class World(Section):
    """Sizes of the embedded world (see alignloop/world)."""

    facts: Count
    users: Count
    prompts: Count
    demonstrations: Count
    documents: Count
    truth: Share
    demonstration_quality: Share


class Ingest(Section):
    source: Literal["world", "files"]
    formats: dict[str, str]
    columns: dict[str, dict[str, str | list[str]]]
    licences: dict[str, str]
    max_refused: Share
    world: World


class Validate(Section):
    max_characters: Count
    max_responses: Count
    max_duplicates: Share
    labelers: list[str]


class Prepare(Section):
    prompts_per_user: Count
    valid: Share
    test: Share


class Pretrain(Section):
    vocabulary: Count
    layers: Count
    width: Count
    heads: Count
    context: Count
    epochs: Positive
    documents_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]


class Sft(Section):
    epochs: Positive
    demonstrations_per_step: Count
    learning_rate: Positive
    warmup: Share
    assistant_turns: Literal["all", "last"]
    pretrain_share: Annotated[float, Field(ge=0, lt=1)]


class Decoding(Section):
    temperature: Positive
    max_new_tokens: Count
    batch: Count


class Sample(Section):
    prompts: Count
    valid_prompts: Count
    k: Annotated[int, Field(ge=2, le=9)]


class JudgeModel(Section):
    """An OpenAI-compatible endpoint; its key is in the environment, as ALIGNLOOP_JUDGE_KEY."""

    url: str
    name: str
    at_once: Count


class Label(Section):
    """`kind` is who ranks, or several with the share of the prompts that each ranks."""

    kind: Labelers | dict[Labelers, Share]
    judge: Literal["gold", "form"]
    labelers: Count
    held_out: Share
    noise: Positive
    tie: Annotated[float, Field(ge=0)]
    screening_items: Count
    screening_pass: Share
    overlap: Count
    enough: Share
    deadline_hours: Positive | None
    model: JudgeModel

    @model_validator(mode="after")
    def _shares_are_all(self) -> "Label":
        if isinstance(self.kind, dict) and abs(sum(self.kind.values()) - 1) > 1e-9:
            raise ValueError(f"kind: the shares {self.kind} add up to {sum(self.kind.values()):g}; make it 1")
        return self


class People(Section):
    """The labeling pages (alignloop/people): no result of a stage depends on these keys."""

    url: str
    guidelines: str
    quiz: str
    gold: str
    gold_share: Share
    repeated_share: Share
    lease_minutes: Positive
    ratings: list[Rating]
    about: list[About]


class Reward(Section):
    epochs: Positive
    rankings_per_step: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0)]
    held_out: bool


class Kl(Section):
    """`target_kl_per_response_nats: null` keeps the coefficient fixed."""

    coef: Annotated[float, Field(ge=0)]
    target_kl_per_response_nats: Positive | None
    horizon_responses: Count


class Guard(Section):
    limit: float
    strength: Literal["warn", "stop", "fail"]


class Ppo(Section):
    steps: Count
    prompts_per_step: Count
    responses_per_prompt: Count
    minibatches: Count
    epochs: Count
    advantages: Literal["gae", "rloo", "grpo"]
    learning_rate: Positive
    value_learning_rate: Positive
    warmup_steps: Whole
    value_warmup_steps: Whole
    gamma: Share
    lam: Share
    clip: Positive
    value_clip: Positive
    max_grad_norm: Positive
    whiten_rewards: bool
    missing_eos_score: float | None
    kl: Kl
    guards: dict[Guarded, Guard]
    guard_window_steps: Count
    ptx_coef: Annotated[float, Field(ge=0)]
    ptx_documents_per_step: Whole
    ema_decay: Share
    keep_rollouts_every: Count

    @model_validator(mode="after")
    def _policy_learns(self) -> "Ppo":
        if self.value_warmup_steps >= self.steps:
            raise ValueError(f"value_warmup_steps {self.value_warmup_steps} leave none of the {self.steps} steps for the policy")
        return self


class Evaluate(Section):
    prompts: Count
    temperature: Positive
    documents: Count


class Release(Section):
    registry: str


class Round(Section):
    """`policy` answers the prompts that are ranked; PPO starts from `start`; `rankings` is the set that this round adds to."""

    policy: str
    start: str
    rankings: str


class Params(Section):
    seed: Whole
    threads: Count
    lanes: Count
    base: str | None
    ingest: Ingest
    validate_: Annotated[Validate, Field(alias="validate")]
    prepare: Prepare
    pretrain: Pretrain
    sft: Sft
    decoding: Decoding
    sample: Sample
    label: Label
    people: People
    reward: Reward
    ppo: Ppo
    evaluate: Evaluate
    release: Release
    rounds: dict[str, Round]

    @model_validator(mode="after")
    def _rounds_build_on_known_ones(self) -> "Params":
        models, sets = {"models/base", "models/sft"}, {"data/rankings/imported"}
        for name, plan in self.rounds.items():
            for field, value, known in (("policy", plan.policy, models), ("start", plan.start, models), ("rankings", plan.rankings, sets)):
                if value not in known:
                    raise ValueError(
                        f"rounds.{name}.{field}: '{value}' is made by no earlier round; known here: {', '.join(sorted(known))}"
                    )
            models.add(f"models/{name}/policy")
            sets.add(f"data/rankings/{name}")
        return self


def parse(data: Any, name: str) -> Params:
    """Check a parsed params.yaml; `name` is the file's name for messages. Raises ParamsError with every breach."""
    if not isinstance(data, dict):
        raise ParamsError(f"{name}: holds no mapping of keys; restore it with `git checkout {name}`")
    wrong = [key for key in data.get("rounds") or {} if not isinstance(key, str)]
    if wrong:
        raise ParamsError(f"{name}: rounds: the name {wrong[0]!r} is not text; write r{wrong[0]}")
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        breaches = [_sentence(breach) for breach in error.errors()]
        raise ParamsError("\n".join(f"{name}: {breach}" for breach in breaches)) from None


def _sentence(breach: Any) -> str:
    place = ".".join(str(part) for part in breach["loc"])
    if breach["type"] == "extra_forbidden":
        return f"{place}: unknown key; remove it or correct its spelling (alignloop/params.py lists the known ones)"
    if breach["type"] == "missing":
        return f"{place}: the key is missing; params.yaml in git has its default"
    message = breach["msg"].removeprefix("Value error, ")
    given = "" if isinstance(breach["input"], dict) else f", not {breach['input']!r}"
    return f"{place}: {message}{given}" if place else message


def load(path: Path) -> Params:
    """Read and check params.yaml. Raises ParamsError naming the file and each offending key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParamsError(f"{path}: {error.strerror}; run from the project's root, where params.yaml is") from None
    try:
        return parse(yaml.safe_load(text), path.name)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from None
