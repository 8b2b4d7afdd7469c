"""OpenAI's summarize-from-feedback comparisons: people chose one of two summaries.

https://github.com/openai/summarize-from-feedback

The prompt is the query format of the paper's models (subreddit, title, post, `TL;DR:`; for news: article,
`TL;DR:`). The post identifies the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from alignloop.data.formats.importer import Format, Imported, ImportedRow, Refused, convert_rows, has_keys
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.data.formats.written_values import WrittenId, WrittenText, as_number
from alignloop.records import Prompt

NAME = "summarize-from-feedback"
ASIDE = ("site", "policy", "note", "extra")


class Info(BaseModel):
    id: WrittenId = ""
    post: str | None = None
    title: str | None = None
    subreddit: str | None = None
    article: str | None = None


class Summary(BaseModel):
    text: WrittenText


class Comparison(BaseModel):
    info: Info
    summaries: list[Summary] = Field(min_length=2, max_length=2)
    choice: Annotated[Literal[0, 1], BeforeValidator(as_number)]
    worker: WrittenId


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    return convert_rows(path, Comparison, lambda comparison: _ranking(comparison, source), ASIDE)


def _ranking(comparison: Comparison, source: str) -> Iterator[Imported]:
    row_prompt = _prompt(comparison.info, source)
    responses = [summary.text for summary in comparison.summaries]
    if row_prompt is None:
        yield Refused("neither a post nor an article")
    elif responses[0].strip() == responses[1].strip():
        yield Refused("both summaries are the same")
    else:
        yield ranking(
            NAME,
            row_prompt,
            responses,
            (1, 2) if comparison.choice == 0 else (2, 1),
            labeler=f"{NAME}-{comparison.worker}",
        )


def _prompt(info: Info, source: str) -> Prompt | None:
    if info.post and info.post.strip():
        head = f"SUBREDDIT: r/{info.subreddit or ''}\n\nTITLE: {info.title or ''}"
        text = f"{head}\n\nPOST: {info.post.strip()}\n\nTL;DR:"
    elif info.article and info.article.strip():
        text = f"Article: {info.article.strip()}\n\nTL;DR:"
    else:
        return None
    return prompt(NAME, [("user", text)], source, user=info.id)


SUMMARIZE_FROM_FEEDBACK = Format(
    "{info, summaries: [{text}, {text}], choice, worker}",
    lambda row: has_keys(row, "info", "summaries", "choice"),
    _read,
)
