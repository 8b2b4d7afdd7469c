"""Red-team prompts: what people tried in order to get round a rule, and whether it got round it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import Field, model_validator

from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.records import Message, Record, Text, check_turns
from alignloop.rules.rule_set import RuleSet

FILE = Path("configs", "red_team.jsonl")  # the permanent test prompts


class RedTeamError(AlignloopError):
    """Red-team prompts name rules that there are not."""


class RedTeamPrompt(Record):
    """A prompt, or a dialogue that ends with one; `rule` is the rule to get round, None: any."""

    prompt: Text | None = Field(default=None, exclude_if=lambda prompt: prompt is None)
    messages: tuple[Message, ...] | None = Field(default=None, exclude_if=lambda given: given is None)
    rule: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "RedTeamPrompt":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("must have either `prompt` or `messages`")
        if self.messages is not None:
            check_turns(self.messages, last="user")
        return self

    @property
    def dialogue(self) -> list[dict[str, str]]:
        """As a chat template takes it."""
        if self.messages is None:
            return [{"role": "user", "content": self.prompt or ""}]
        return [{"role": message.role, "content": message.content} for message in self.messages]


class Attempt(Record):
    """What came of a red-team prompt: the responses to it, and which rules they hit.

    `stopped` is the rule that stops the prompt before a model reads it, None where there is none. The prompt
    got round a rule if a response hits it, or if the rule is for prompts alone and does not stop it.
    """

    prompt: RedTeamPrompt
    stopped: str | None
    responses: tuple[str, ...]
    got_round: tuple[str, ...]  # rules


def read_prompts(file: Path, rules: RuleSet) -> list[RedTeamPrompt]:
    """The prompts of a file, which may be empty. Raises DataError or RedTeamError."""
    prompts = record_files.read(file, RedTeamPrompt, allow_empty=True)
    unknown = [
        f"{file}, line {line}: there is no rule {prompt.rule!r}"
        for line, prompt in enumerate(prompts, 1)
        if prompt.rule is not None and prompt.rule not in rules.rules
    ]
    if unknown:
        known = ", ".join(rules.rules) or "none"
        raise RedTeamError("\n".join([*unknown, f"rules are: {known}; correct the name, or add the rule"]))
    return prompts


def keep(file: Path, found: Sequence[RedTeamPrompt]) -> int:
    """Add the prompts that are not there yet to the permanent ones; returns how many."""
    known = record_files.read(file, RedTeamPrompt, allow_empty=True) if file.exists() else []
    new = list(dict.fromkeys(each.model_dump_json() for each in found if each not in known))
    if new:
        lines = [*(each.model_dump_json() + "\n" for each in known), *(line + "\n" for line in new)]
        record_files.write_lines(file, lines, RedTeamPrompt)
    return len(new)


def attempts(
    rules: RuleSet,
    prompts: Sequence[RedTeamPrompt],
    respond: Callable[[Sequence[list[dict[str, str]]]], Sequence[Sequence[str]]],
) -> list[Attempt]:
    """Try every prompt; `respond` gives some responses to each dialogue. Raises RuleFailed."""
    stopped = [_stopping(rules, prompt) for prompt in prompts]
    asked = [
        place
        for place, prompt in enumerate(prompts)
        if stopped[place] is None and not _is_for_prompts(rules, prompt)
    ]
    responses: Mapping[int, Sequence[str]] = dict(
        zip(asked, respond([prompts[place].dialogue for place in asked]) if asked else (), strict=True)
    )
    return [
        _attempt(rules, prompt, stopped[place], responses.get(place)) for place, prompt in enumerate(prompts)
    ]


def _stopping(rules: RuleSet, prompt: RedTeamPrompt) -> str | None:
    names = [prompt.rule] if prompt.rule else [n for n, r in rules.on("prompt").items() if r.stops]
    hits = rules.find("prompt", prompt.dialogue, names)
    return hits[0].rule if hits else None


def _is_for_prompts(rules: RuleSet, prompt: RedTeamPrompt) -> bool:
    return prompt.rule is not None and rules.rules[prompt.rule].checks == "prompt"


def _attempt(
    rules: RuleSet, prompt: RedTeamPrompt, stopped: str | None, responses: Sequence[str] | None
) -> Attempt:
    if stopped is not None:
        return Attempt(prompt=prompt, stopped=stopped, responses=(), got_round=())
    if responses is None:  # the rule is for prompts alone, and did not stop it
        assert prompt.rule is not None
        return Attempt(prompt=prompt, stopped=None, responses=(), got_round=(prompt.rule,))
    names = [prompt.rule] if prompt.rule else list(rules.counted())
    hits: dict[str, None] = {}
    for text in responses:
        dialogue = [*prompt.dialogue, {"role": "assistant", "content": text}]
        hits |= {hit.rule: None for hit in rules.find("response", dialogue, names)}
    return Attempt(prompt=prompt, stopped=None, responses=tuple(responses), got_round=tuple(hits))
