"""Questions of one or more turns with a category, and answers to them that were drawn elsewhere.

Questions are rows as MT-Bench, Vicuna and Arena-Hard have them: {question_id or uid, category, turns or
prompt}. Answers are rows of FastChat ({question_id, choices: [{turns}]}), of Arena-Hard ({uid, messages}), or
of an own transcript ({id, answers}).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignloop.data.formats import containers
from alignloop.data.formats.refused_rows import Refused
from alignloop.data.input_files import DataError

IDS = ("question_id", "uid", "id")
QUESTION = "needs an id (question_id, uid or id) and the text of a turn at least (turns or prompt)"
ANSWER = (
    "needs an id (question_id, uid or id) and answers: choices[0].turns as FastChat has them, messages as "
    "Arena-Hard has them, or answers"
)


@dataclass(frozen=True)
class Question:
    """What the user says in each turn; an assistant answers before the next one."""

    id: str
    category: str
    turns: tuple[str, ...]


def read_questions(path: Path) -> list[Question]:
    """The questions of a file. Raises DataError, which names the first row that cannot be used."""
    found: list[Question] = []
    for line, row in _rows(path):
        name, turns = _id(row), _texts(row.get("turns", row.get("prompt")))
        if not name or not turns or not all(map(str.strip, turns)):
            raise DataError(f"{path}:{line}: {QUESTION}; correct the row or remove it")
        category = str(row.get("category") or "other")
        found.append(Question(name, category, turns))
    _check_ids(path, [each.id for each in found])
    return found


def read_answers(path: Path) -> dict[str, tuple[str, ...]]:
    """Answers by the question's id. Raises DataError, which names the first row that cannot be used."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for line, row in _rows(path):
        name, answers = _id(row), _answers(row)
        if not name or not answers:
            raise DataError(f"{path}:{line}: {ANSWER}; correct the row or remove it")
        found.append((name, answers))
    _check_ids(path, [name for name, _ in found])
    return dict(found)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a file with their lines."""
    for line, row in containers.read(path):
        if isinstance(row, Refused):
            raise DataError(f"{path}:{line}: {row.reason}; correct the row or remove it")
        if not isinstance(row, dict):
            raise DataError(f"{path}:{line}: is no object with keys; correct the row or remove it")
        yield line, row


def _check_ids(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise DataError(f"{path}: holds no rows; name another file")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: the id {twice[0]} stands in two rows; give each row an id of its own")


def _id(row: Mapping[str, Any]) -> str:
    found = next((row[name] for name in IDS if name in row), "")
    return str(found) if isinstance(found, str | int) else ""


def _answers(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "messages" in row:
        said = row["messages"] if isinstance(row["messages"], list) else []
        return _texts([each for each in said if isinstance(each, dict) and each.get("role") == "assistant"])
    if "choices" in row:
        choices = row["choices"]
        first = choices[0] if isinstance(choices, list) and choices else None
        return _texts(first.get("turns")) if isinstance(first, dict) else ()
    return _texts(row.get("answers"))


def _texts(value: Any) -> tuple[str, ...]:
    """A text, or texts in a list, each perhaps in `content` or `answer` of an object; else nothing."""
    parts = value if isinstance(value, list) else [value]
    found = [_text(part) for part in parts]
    return tuple(text for text in found if text is not None) if None not in found else ()


def _text(value: Any) -> str | None:
    while isinstance(value, dict):
        value = value.get("content", value.get("answer"))
    return value if isinstance(value, str) else None
