"""Items with a class, for classification by prompting: rows of any table or JSON file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alignloop.core.metrics import win_rate_of_outcomes
from alignloop.data.formats import containers
from alignloop.data.formats.refused_rows import Refused
from alignloop.data.input_files import DataError


@dataclass(frozen=True)
class LabelledItem:
    """The fields that a template asks for, as text, and the name of the item's class."""

    fields: dict[str, str]
    label: str


def read_items(path: Path, fields: Sequence[str], label: str, classes: Sequence[str]) -> list[LabelledItem]:
    """The items of a file, one a row. Raises DataError, which names the first row that cannot be used."""
    items: list[LabelledItem] = []
    for line, row in containers.read(path):
        if isinstance(row, Refused):
            raise DataError(f"{path}:{line}: {row.reason}; correct the row or remove it")
        missing = [name for name in (*fields, label) if not isinstance(row, dict) or name not in row]
        if missing:
            raise DataError(
                f"{path}:{line}: has no field {', '.join(missing)}; correct the template or --label-field"
            )
        name = str(row[label])
        if name not in classes:
            raise DataError(
                f"{path}:{line}: {label} is {name[:60]!r}, which --labels has no words for; known are "
                f"{', '.join(classes)}"
            )
        items.append(LabelledItem({field: str(row[field]) for field in fields}, name))
    if not items:
        raise DataError(f"{path}: holds no rows; name another file")
    return items


def accuracy(predicted: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """The share of right predictions with its 95 % interval (Wilson's)."""
    found = win_rate_of_outcomes(
        [float(one == other) for one, other in zip(predicted, labels, strict=True)]
    ).as_dict()
    return {name: found[name] for name in ("rate", "low", "high")}
