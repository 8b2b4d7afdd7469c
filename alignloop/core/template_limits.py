"""Tries a chat template in a child process with little time and memory, since a template is a program.

One that loops for ever, or builds a text of gigabytes, cannot be stopped in this process.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import CHAT_TEMPLATE, TokenizerError

SECONDS = 3  # of processor time; templates take milliseconds
PATIENCE = 60  # seconds of the clock, for a child that waits instead
MEMORY = 2**30  # bytes beyond those of this process
LONGEST = 2**20  # characters of what is rendered
FINISHED, TOO_LARGE = 0, 3  # exit statuses of the child

USER, ASSISTANT = ({"role": role, "content": role.title()} for role in ("user", "assistant"))
SYSTEM = {"role": "system", "content": "System"}
LONG = [{"role": role, "content": "a word. " * 100} for role in ("user", "assistant") * 20]
DIALOGUES = ([USER], [USER, ASSISTANT], [SYSTEM, USER, ASSISTANT, USER], LONG)


def check_limits(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise TokenizerError if the chat template takes seconds, or a gigabyte, for short dialogues."""
    template = tokenizer.chat_template
    if template is None or template == CHAT_TEMPLATE or not hasattr(os, "fork"):
        return
    if reason := _fault(tokenizer, str(template)):
        raise TokenizerError(
            f"the chat template {reason} for dialogues of at most {len(LONG)} turns; "
            "put another chat_template.jinja into the checkpoint's folder"
        )


@lru_cache(maxsize=8)
def _fault(tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    """What the template takes too much of, or nothing; cached by what it depends on."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = TOO_LARGE
        try:
            _limit()
            status = _rendered(tokenizer)
        finally:
            os._exit(status)
    status = _waited(child)
    if status is None or (os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGSEGV):
        return f"does not end within {SECONDS} seconds"
    if status and os.waitstatus_to_exitcode(status) != FINISHED:
        return "needs more than a gigabyte of memory, or writes more than a million characters,"
    return ""


def _limit() -> None:
    """Limit this process's time and memory; a limit that ends it leaves no core dump."""
    memory = Path("/proc/self/statm")
    pages = int(memory.read_text().split()[0]) if memory.exists() else 0
    if pages:
        bound = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _rendered(tokenizer: PreTrainedTokenizerBase) -> int:
    """Render the dialogues; what the template refuses is reported where it is used."""
    for dialogue in DIALOGUES:
        try:
            text = _text(tokenizer, dialogue)
        except MemoryError:
            return TOO_LARGE
        except Exception:
            continue
        if len(text) > LONGEST:
            return TOO_LARGE
    return FINISHED


def _text(tokenizer: PreTrainedTokenizerBase, dialogue: Sequence[Mapping[str, str]]) -> str:
    return str(
        tokenizer.apply_chat_template(
            [dict(message) for message in dialogue], tokenize=False, add_generation_prompt=True
        )
    )


def _waited(child: int) -> int | None:
    """The child's status when it has ended; None if it had to be killed."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
