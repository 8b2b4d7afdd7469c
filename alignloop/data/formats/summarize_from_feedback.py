"""OpenAI's summarize-from-feedback comparisons: people chose one of two summaries. https://github.com/openai/summarize-from-feedback

The prompt is the query of the paper's models (subreddit, title, post, `TL;DR:`; for news: article, `TL;DR:`). The post is the user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from alignloop.data.formats.importer import Format, Found, Item, Refused, each, has
from alignloop.data.formats.record_builders import prompt, ranking
from alignloop.records import Prompt

NAME = "summarize-from-feedback"


class Info(BaseModel):
    id: str
    post: str | None = None
    title: str | None = None
    subreddit: str | None = None
    article: str | None = None


class Summary(BaseModel):
    text: str


class Comparison(BaseModel):
    info: Info
    summaries: list[Summary] = Field(min_length=2, max_length=2)
    choice: Literal[0, 1]
    worker: str


def _read(path: Path, source: str) -> Iterator[Item]:
    return each(path, Comparison, lambda comparison: _ranking(comparison, source))


def _ranking(comparison: Comparison, source: str) -> Iterator[Found]:
    asked = _prompt(comparison.info, source)
    answers = [summary.text for summary in comparison.summaries]
    if asked is None:
        yield Refused("neither a post nor an article")
    elif answers[0].strip() == answers[1].strip():
        yield Refused("both summaries are the same")
    else:
        yield ranking(
            NAME,
            asked,
            answers,
            (1, 2) if comparison.choice == 0 else (2, 1),
            labeler=f"{NAME}-{comparison.worker}",
        )


def _prompt(info: Info, source: str) -> Prompt | None:
    if info.post and info.post.strip():
        text = f"SUBREDDIT: r/{info.subreddit or ''}\n\nTITLE: {info.title or ''}\n\nPOST: {info.post.strip()}\n\nTL;DR:"
    elif info.article and info.article.strip():
        text = f"Article: {info.article.strip()}\n\nTL;DR:"
    else:
        return None
    return prompt(NAME, [("user", text)], source, user=info.id)


SUMMARIZE_FROM_FEEDBACK = Format(
    "{info, summaries: [{text}, {text}], choice, worker}",
    lambda row: has(row, "info", "summaries", "choice"),
    _read,
)
