"""Removal of a user's texts from reports, tables of completions and model descriptions.

They quote prompts of the test set.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from alignloop.files import replacing
from alignloop.markdown import QUOTE_CHARACTERS, SHORT_QUOTE_CHARACTERS, one_line
from alignloop.tracking import completions, registry
from alignloop.tracking.mlflow_store import store_root

REPORTS = ("reports/results.md", "mlruns/artifacts/**/results.md")
TABLES = f"mlruns/artifacts/**/{completions.NAME}"
REMOVED = "> (a forgotten user)"
LENGTHS = (SHORT_QUOTE_CHARACTERS, QUOTE_CHARACTERS)


def forget_quotes(root: Path, texts: Collection[str]) -> Iterator[str]:
    """Remove every quote of one of `texts`, with the responses below it; yield a line for each place."""
    wanted = {_plain(one_line(text, most)) for text in texts for most in LENGTHS}
    if not wanted:
        return
    for base, pattern in zip((root, store_root(root)), REPORTS, strict=True):
        for file in sorted(base.glob(pattern)):
            text, count = without_quotes(file.read_text(encoding="utf-8", errors="replace"), wanted)
            if count:
                with replacing(file) as new:
                    new.write_text(text, encoding="utf-8")
                yield f"removed    {count:,} quotes from {file.relative_to(base).as_posix()}"
    for version in registry.versions(root):
        text, count = without_quotes(version.description, wanted)
        if count:
            registry.annotate(root, version, {}, text)
            yield f"removed    {count:,} quotes from the description of {version.label}"


def forget_completions(root: Path, prompts: Collection[str]) -> Iterator[str]:
    """Remove the rows of these prompts, by id, from every evaluation's table; yield a line for each table."""
    base = store_root(root)
    for file in sorted(base.glob(TABLES)) if prompts else ():
        text, count = completions.without_prompts(file.read_text(encoding="utf-8"), prompts)
        if count:
            with replacing(file) as new:
                new.write_text(text, encoding="utf-8")
            yield f"removed    {count:,} completions from {file.relative_to(base).as_posix()}"


def without_quotes(text: str, wanted: Collection[str]) -> tuple[str, int]:
    """The Markdown without the quotes of `wanted` and the lists of responses below them, and their number."""
    kept: list[str] = []
    count, is_below = 0, False
    for part in text.split("\n\n"):
        if part.startswith(">"):
            is_below = any(_quoted(line) in wanted for line in part.split("\n"))
            count += is_below
            kept.append(REMOVED if is_below else part)
        elif not (is_below and part.startswith("- ")):
            is_below = False
            kept.append(part)
    return "\n\n".join(kept) + ("\n" if text.endswith("\n") and not kept[-1].endswith("\n") else ""), count


def _quoted(line: str) -> str:
    """The text of a quoted line, without the role before it."""
    text = line.removeprefix(">").strip()
    for role in ("user", "assistant", "system"):
        text = text.removeprefix(f"**{role}** ")
    return _plain(text)


def _plain(text: str) -> str:
    return text.replace("\\", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").strip()
