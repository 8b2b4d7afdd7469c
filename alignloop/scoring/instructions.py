"""Which of a prompt's instructions a response follows, checked by rules as in IFEval (arXiv 2311.07911).

Ids and arguments are IFEval's. Left out are those that need a language detector or a parser of sentences
(`language:…`, `nth_paragraph_first_word`), and `combination:…`. Sentences end with . ! or ? here.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from alignloop.records import Instruction

CONSTRAINED = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")


class Arguments(BaseModel):
    """The arguments of a rule; IFEval's files also hold those of other rules, as nulls."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Nothing(Arguments):
    """No arguments."""


class Counted(Arguments):
    """A bound of a count: "at least" this many, or "less than"."""

    relation: str

    def met(self, count: int, bound: int) -> bool:
        return count >= bound if self.relation == "at least" else count < bound

    def model_post_init(self, context: Any) -> None:
        if self.relation not in ("at least", "less than"):
            raise ValueError(f"relation must be 'at least' or 'less than', not {self.relation!r}")


class Keywords(Arguments):
    keywords: list[str]


class Forbidden(Arguments):
    forbidden_words: list[str]


class Frequency(Counted):
    keyword: str
    frequency: int


class Words(Counted):
    num_words: int


class Sentences(Counted):
    num_sentences: int


class Paragraphs(Arguments):
    num_paragraphs: int


class Bullets(Arguments):
    num_bullets: int


class Highlights(Arguments):
    num_highlights: int


class Placeholders(Arguments):
    num_placeholders: int


class Postscript(Arguments):
    postscript_marker: str


class Ending(Arguments):
    end_phrase: str


def _has_keywords(text: str, wanted: Keywords) -> bool:
    return all(word.lower() in text.lower() for word in wanted.keywords)


def _has_no_forbidden(text: str, wanted: Forbidden) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in wanted.forbidden_words
    )


def _has_frequency(text: str, wanted: Frequency) -> bool:
    return wanted.met(text.lower().count(wanted.keyword.lower()), wanted.frequency)


def _has_words(text: str, wanted: Words) -> bool:
    return wanted.met(len(re.findall(r"\w+", text)), wanted.num_words)


def _has_sentences(text: str, wanted: Sentences) -> bool:
    rest = SENTENCE_END.split(text)[-1].strip()  # a last sentence may have no mark
    return wanted.met(len(SENTENCE_END.findall(text)) + bool(rest), wanted.num_sentences)


def _has_paragraphs(text: str, wanted: Paragraphs) -> bool:
    """Paragraphs are separated by a line of `***`."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", text)]
    inner = [part for place, part in enumerate(parts) if part or 0 < place < len(parts) - 1]
    return len(inner) == wanted.num_paragraphs and all(inner)


def _has_bullets(text: str, wanted: Bullets) -> bool:
    return len(re.findall(r"^\s*(?:\*[^*\n]|-).*$", text, re.MULTILINE)) == wanted.num_bullets


def _has_highlights(text: str, wanted: Highlights) -> bool:
    marked = re.findall(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*", text)
    return sum(bool((double or single).strip()) for double, single in marked) >= wanted.num_highlights


def _has_placeholders(text: str, wanted: Placeholders) -> bool:
    return len(re.findall(r"\[[^\[\]\n]+\]", text)) >= wanted.num_placeholders


def _has_postscript(text: str, wanted: Postscript) -> bool:
    return bool(re.search(rf"^\s*{re.escape(wanted.postscript_marker)}", text, re.IGNORECASE | re.MULTILINE))


def _ends_so(text: str, wanted: Ending) -> bool:
    return text.strip().strip('"').lower().endswith(wanted.end_phrase.strip().lower())


def _is_quoted(text: str, wanted: Nothing) -> bool:
    whole = text.strip()
    return len(whole) > 1 and whole[0] == whole[-1] == '"'


def _is_json(text: str, wanted: Nothing) -> bool:
    inner = re.sub(r"\A```(?:json)?|```\Z", "", text.strip(), flags=re.IGNORECASE)
    try:
        json.loads(inner)
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(text: str, wanted: Nothing) -> bool:
    return any(title.strip("<> ") for title in re.findall(r"<<([^\n]+)>>", text))


def _is_constrained(text: str, wanted: Nothing) -> bool:
    return any(option in text for option in CONSTRAINED)


def _is_lower(text: str, wanted: Nothing) -> bool:
    return text.islower()


def _is_upper(text: str, wanted: Nothing) -> bool:
    return text.isupper()


def _has_no_comma(text: str, wanted: Nothing) -> bool:
    return "," not in text


RULES: Mapping[str, tuple[type[Arguments], Callable[[str, Any], bool]]] = {
    "keywords:existence": (Keywords, _has_keywords),
    "keywords:forbidden_words": (Forbidden, _has_no_forbidden),
    "keywords:frequency": (Frequency, _has_frequency),
    "length_constraints:number_words": (Words, _has_words),
    "length_constraints:number_sentences": (Sentences, _has_sentences),
    "length_constraints:number_paragraphs": (Paragraphs, _has_paragraphs),
    "detectable_format:number_bullet_lists": (Bullets, _has_bullets),
    "detectable_format:number_highlighted_sections": (Highlights, _has_highlights),
    "detectable_format:json_format": (Nothing, _is_json),
    "detectable_format:title": (Nothing, _has_title),
    "detectable_format:constrained_response": (Nothing, _is_constrained),
    "detectable_content:number_placeholders": (Placeholders, _has_placeholders),
    "detectable_content:postscript": (Postscript, _has_postscript),
    "startend:end_checker": (Ending, _ends_so),
    "startend:quotation": (Nothing, _is_quoted),
    "change_case:english_lowercase": (Nothing, _is_lower),
    "change_case:english_capital": (Nothing, _is_upper),
    "punctuation:no_comma": (Nothing, _has_no_comma),
}


def rule_of(instruction: Instruction) -> Callable[[str], bool]:
    """Whether a response follows the instruction. Raises ValueError for an unknown id or wrong arguments."""
    if instruction.id not in RULES:
        raise ValueError(f"instruction {instruction.id!r} is not known; known are {', '.join(RULES)}")
    kind, holds = RULES[instruction.id]
    given = {name: value for name, value in instruction.kwargs.items() if value is not None}
    try:
        wanted = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "kwargs"
        raise ValueError(f"instruction {instruction.id!r}: {place}: {first['msg']}") from None
    return lambda text: bool(text.strip()) and holds(text, wanted)


def share_followed(rules: list[Callable[[str], bool]], response: str) -> float:
    """The share of the rules that the response follows, 0 to 1."""
    return sum(rule(response) for rule in rules) / len(rules)
