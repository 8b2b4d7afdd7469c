"""What a run prints: the time and the message, in lines that fit, and each error once.

Prefect's own reports (a task begins, ends, failed) stay in its log and on its pages; our lines say the same.
"""

import logging
import os
import textwrap
from pathlib import Path

import prefect
from prefect.logging.handlers import PrefectConsoleHandler

from alignloop.errors import AlignloopError

WIDTH = 110
REPEATED = "repeated"  # an attribute of a record: its text is printed once more when the run ends
KEPT = ("View at ", "Task run failed with ", "Starting temporary server")  # of Prefect's own reports
PREFECT = str(Path(prefect.__file__).parent)
OVERRIDES = ("PREFECT_LOGGING_SETTINGS_PATH", "PREFECT_LOGGING_FORMATTERS_")


class _MessageOnly(logging.Filter):
    """Removes Prefect's traceback from our own errors: their message has place, fault and remedy."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, AlignloopError):
            record.msg, record.args = "%s", (str(error),)
            record.exc_info = None
            setattr(record, REPEATED, True)
        return True


for _logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(_MessageOnly())


class _OnConsole(logging.Filter):
    """Keeps from the console what is printed when the run ends, and Prefect's reports."""

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, REPEATED, False):
            return False
        if not record.pathname.startswith(PREFECT):
            return True
        text = record.getMessage()
        return text.startswith(KEPT) or (
            record.levelno > logging.INFO and not text.startswith("Finished in state")
        )


class ConsoleFormatter(logging.Formatter):
    """The time and the message, from a warning on with its level; long lines are wrapped between words."""

    def __init__(self) -> None:
        super().__init__("%(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines."""
        time, text = self.formatTime(record, self.datefmt), record.getMessage()
        if record.pathname.startswith(PREFECT) and text.startswith("Starting temporary server"):
            text = text.partition("\n")[0]
        if record.levelno > logging.INFO:
            text = f"{record.levelname.lower()}: {text}"
        lines = wrapped(text, WIDTH - len(time) - 1)
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return f"{time} " + f"\n{' ' * (len(time) + 1)}".join(lines)


def wrapped(text: str, width: int = WIDTH, indent: int = 0) -> list[str]:
    """The text in lines of at most this width; paths and other long words stay whole.

    The second and further lines of each line are indented.
    """
    lines: list[str] = []
    for line in text.splitlines():
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        ) or [""]
    return lines


def shorten() -> None:
    """Let Prefect's console handler print in this way, unless the environment configures its format."""
    if any(name.startswith(OVERRIDES) for name in os.environ):
        return
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            handler.setFormatter(ConsoleFormatter())
            handler.addFilter(_OnConsole())
