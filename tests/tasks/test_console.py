"""What a run prints: lines that fit, without Prefect's own reports, and each error once."""

import logging
from pathlib import Path

import prefect
import pytest

from tasks import console
from tasks.console import REPEATED, WIDTH, ConsoleFormatter, wrapped
from tasks.stage_task import StageFailed

OURS, PREFECTS = "/project/tasks/x.py", str(Path(prefect.__file__).parent / "task_engine.py")


def record(text: str, level: int = logging.INFO, path: str = OURS) -> logging.LogRecord:
    return logging.LogRecord("prefect.task_runs", level, path, 1, "%s", (text,), None)


def shown(each: logging.LogRecord) -> bool:
    return console._OnConsole().filter(each) is True


def test_a_line_is_the_time_and_the_message_and_long_ones_are_wrapped_between_words() -> None:
    text = ConsoleFormatter().format(record("sft  1/9 · loss 2"))
    assert text[8:] == " sft  1/9 · loss 2"
    assert text[2] == text[5] == ":"
    path = "/a/very/long/" + "path/" * 40
    lines = ConsoleFormatter().format(record("many words " * 40 + path, logging.WARNING)).splitlines()
    assert lines[0][8:18] == " warning: "
    assert all(len(line) <= WIDTH for line in lines[:-1])
    assert lines[-1] == " " * 9 + path, "a path stays whole"
    assert "".join(line[9:] for line in lines).count("many") == 40


def test_a_second_line_of_a_message_stays_a_line_and_is_indented_where_asked() -> None:
    assert wrapped("one\n\ntwo", 10) == ["one", "", "two"]
    assert wrapped("name  a b c d e f", 9, indent=6) == ["name  a b", "      c d", "      e f"]


@pytest.mark.parametrize(
    ("text", "level", "kept"),
    [
        ("Beginning flow run 'a' for flow 'b'", logging.INFO, False),
        ("Finished in state Completed()", logging.INFO, False),
        ("Finished in state Failed('…')", logging.ERROR, False),
        ("View at http://127.0.0.1:4200/runs/1", logging.INFO, True),
        ("Task run failed with exception: … - Retry 1/2 will start 5 second(s) from now", logging.INFO, True),
        ("Crash detected! …", logging.ERROR, True),
    ],
)
def test_of_prefects_reports_those_are_kept_that_no_line_of_ours_says(
    text: str, level: int, kept: bool
) -> None:
    assert shown(record(text, level, PREFECTS)) is kept
    assert shown(record(text, level)), "ours always"


def test_an_error_that_is_printed_at_the_end_is_not_printed_before() -> None:
    repeated = record("sft: data/x.jsonl:3: user: is missing", logging.WARNING)
    assert shown(repeated)
    setattr(repeated, REPEATED, True)
    assert not shown(repeated)
    mine, other = StageFailed("sft: broken"), ValueError("a bug")
    for error, kept in ((mine, False), (other, True)):
        raised = record("Task run failed with exception", logging.ERROR, PREFECTS)
        raised.exc_info = (type(error), error, None)
        assert logging.getLogger("prefect.task_runs").filter(raised)
        assert shown(raised) is kept
        assert (raised.getMessage() == str(error)) is not kept


def test_a_format_that_the_environment_sets_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = next(
        (each for each in logging.getLogger().handlers if isinstance(each, console.PrefectConsoleHandler)),
        None,
    )
    assert handler is not None
    before, filters = handler.formatter, list(handler.filters)
    try:
        monkeypatch.setenv("PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT", "%(message)s")
        console.shorten()
        assert handler.formatter is before
        monkeypatch.delenv("PREFECT_LOGGING_FORMATTERS_STANDARD_TASK_RUN_FMT")
        console.shorten()
        assert isinstance(handler.formatter, ConsoleFormatter)
    finally:
        handler.setFormatter(before)
        handler.filters = filters
