"""The rules of a checkout, applied to texts: what they hit, and what is done about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alignloop.data.language import languages_of
from alignloop.data.pii import redaction
from alignloop.rules.finders import Finder, Hit, Messages, Place, finder_of
from alignloop.rules.rule import ACTIONS, HAS_PLACES, Action, Rule, Side

UNKNOWN_LANGUAGES = ("und", "zxx")  # of texts too short to tell: every rule applies to them


@dataclass(frozen=True)
class Decision:
    """What the rules say of a text: the strongest action, all hits, and the text as it may be used.

    `action` is None where no rule is hit. `text` is redacted for `redact`, and unchanged for the others;
    `message` is what stands for it where it is blocked.
    """

    text: str
    action: Action | None = None
    by: str = ""  # the rule whose action it is
    message: str | None = None
    hits: tuple[str, ...] = ()


class RuleSet:
    """Named rules, made ready; several threads may use it."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = dict(rules)
        self._finders: dict[str, Finder] = {name: finder_of(name, rule) for name, rule in rules.items()}

    def on(self, side: Side) -> dict[str, Rule]:
        """The rules that look at prompts, or at responses."""
        return {name: rule for name, rule in self.rules.items() if rule.applies_to(side)}

    def holds_back(self) -> bool:
        """Whether a rule may change or replace a response, so that nothing of it is shown before its end."""
        return any(rule.action != "log" for rule in self.on("response").values())

    def counted(self) -> dict[str, Rule]:
        """The rules for responses whose hits count as violations: all but those that are only logged."""
        return {name: rule for name, rule in self.on("response").items() if rule.action != "log"}

    def find(self, side: Side, messages: Messages, names: Sequence[str] | None = None) -> list[Hit]:
        """What the last message hits, of the rules with these names or of all that apply.

        Of prompts, models look at the user's messages only: they read dialogues that end with one. Raises
        RuleFailed.
        """
        rules = self.on(side)
        chosen = [name for name in rules if names is None or name in names]
        if side == "prompt" and messages[-1]["role"] != "user":
            chosen = [name for name in chosen if rules[name].kind in HAS_PLACES]
        if any(rules[name].languages for name in chosen):
            language = languages_of([messages[-1]["content"]])[0]
            if language not in UNKNOWN_LANGUAGES:
                chosen = [name for name in chosen if language in (rules[name].languages or [language])]
        hits = (self._finders[name](messages) for name in chosen)
        return [hit for hit in hits if hit]

    def decide(self, side: Side, messages: Messages) -> Decision:
        """What is done about the last message. Raises RuleFailed."""
        text = messages[-1]["content"]
        hits = self.find(side, messages)
        if not hits:
            return Decision(text)
        first = min(hits, key=lambda hit: ACTIONS.index(self.rules[hit.rule].action))
        action = self.rules[first.rule].action
        if action == "redact":
            text = self._redacted(side, messages, hits)
        names = tuple(hit.rule for hit in hits)
        return Decision(text, action, first.rule, self.rules[first.rule].message, names)

    def _redacted(self, side: Side, messages: Messages, hits: Sequence[Hit]) -> str:
        text = _replaced(messages[-1]["content"], self._places(hits))
        personal = {name for name, rule in self.on(side).items() if rule.pii and rule.action == "redact"}
        kinds = {kind for name in personal for kind in self.rules[name].pii or ()}
        for _ in range(len(text)):  # a number may appear once another has gone; a placeholder holds none
            spans = [span for span in redaction.find_spans(text) if span.kind in kinds]
            if not spans or not personal & {hit.rule for hit in hits}:
                break
            text = _replaced(text, [Place(span.start, span.end, f"<{span.kind}>") for span in spans])
        return text

    def _places(self, hits: Sequence[Hit]) -> list[Place]:
        return [place for hit in hits if self.rules[hit.rule].action == "redact" for place in hit.places]

    def version_of(self, name: str) -> str | None:
        """A hash of what a rule looks for, None if there is no such rule."""
        return self.rules[name].version if name in self.rules else None


def _replaced(text: str, places: Sequence[Place]) -> str:
    """The text with a placeholder for each place; of places that overlap the first stands for all."""
    pieces, end = [], 0
    for place in sorted(places):
        if place.start >= end:
            pieces += [text[end : place.start], place.placeholder]
        end = max(end, place.end)
    return "".join(pieces) + text[end:]
