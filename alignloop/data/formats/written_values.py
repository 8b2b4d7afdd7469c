"""Values as tables and notebooks write them: numbers for texts, texts for numbers, missing ids."""

from typing import Annotated, Any

from pydantic import BeforeValidator, FiniteFloat

FLAGS = {"true": True, "false": False}


def as_text(value: Any) -> Any:
    """A text, also for a number; any other value as it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value


def _as_id(value: Any) -> Any:
    return "" if value is None else as_text(value)


def as_number(value: Any) -> Any:
    """A number that is written as a text; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else number


def _as_flag(value: Any) -> Any:
    return FLAGS.get(value.strip().lower(), value) if isinstance(value, str) else value


WrittenText = Annotated[str, BeforeValidator(as_text)]
WrittenId = Annotated[str, BeforeValidator(_as_id)]  # empty where it is missing
WrittenNumber = Annotated[FiniteFloat, BeforeValidator(as_number)]
WrittenInt = Annotated[int, BeforeValidator(as_number)]
WrittenFlag = Annotated[bool, BeforeValidator(_as_flag)]
