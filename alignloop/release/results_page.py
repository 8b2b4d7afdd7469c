"""reports/index.html: the results of a run on one page that needs no network, no script and no other file.

It is made from what the stages wrote, so equal files give equal bytes. Pictures are embedded; those that
were not drawn here, because DVC restored a stage, are drawn.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from alignloop.data.record_files import read
from alignloop.evaluation.results_table import NAMES, tables
from alignloop.files import replacing
from alignloop.records import EvaluatedResponse, Message
from alignloop.release.gates import gate_rows
from alignloop.release.round_results import RoundResults, first_of_each, read_results, sentences
from alignloop.release.rules_table import rules_table

PAGE = Path("reports", "index.html")
PROMPTS = 12  # shown with the responses of every model
TEMPLATES = Path(__file__).parent / "templates"
MARKS = {None: "", True: "passes", False: "fails"}
OF_ROUND = {
    "ppo": ("plots/rounds/{}/ppo.csv", "the policy, step by step"),
    "overoptimisation": ("plots/rounds/{}/overoptimisation.csv", "scores by distance from SFT"),
    "evaluate": ("metrics/rounds/{}/evaluate.json", "behaviours"),
    "reward": ("plots/rounds/{}/reward.csv", "the reward model, step by step"),
}
BEFORE = {
    "pretrain": ("plots/pretrain.csv", "pretraining, step by step"),
    "sft": ("plots/sft.csv", "SFT, step by step"),
}


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, and what it shows."""

    url: str
    title: str


@dataclass(frozen=True)
class Reply:
    """What a model said; `mark` is its verdict by gold."""

    model: str
    text: str
    mark: str


@dataclass(frozen=True)
class Exchange:
    """A prompt with the reply of every model."""

    category: str
    messages: Sequence[Message]
    replies: Sequence[Reply]


def write_page(root: Path, just_evaluated: str | None = None) -> Path | None:
    """Write the page from what is on disk; None if no round was evaluated.

    `just_evaluated` is a round whose evaluation has ended and is not in dvc.lock yet.
    """
    results = read_results(root, just_evaluated)
    if results is None:
        return None
    style = (TEMPLATES / "results.css").read_text(encoding="utf-8")
    pictures = {name: _pictures(root, name, OF_ROUND) for name in results.rounds}
    text = (
        _templates()
        .get_template("results.html")
        .render(
            results=results,
            style=Markup(style),
            style_hash=b64encode(hashlib.sha256(style.encode()).digest()).decode(),
            verdict=_html(sentences(results.verdict)) if results.verdict else None,
            gates=gate_rows(results.verdict) if results.verdict else (),
            tables=_html(tables(results.table) + rules_table(results.table)),
            overview=_overview(root, results),
            pictures=pictures | {"base and SFT": _pictures(root, "", BEFORE)},
            exchanges=_exchanges(root, results.rounds),
            warnings=[_html(warning) for warning in results.warnings],
            pages=[name for name in ("raw", "sets", *results.rounds) if _has_page(root, name)],
            labels=[name for name in results.rounds if (root / "reports" / "labels" / f"{name}.md").exists()],
            last=results.rounds[-1],
        )
    )
    with replacing(root / PAGE) as part:
        part.write_text(text, encoding="utf-8")
    return root / PAGE


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def _html(text: str) -> Markup:
    """Our own Markdown as HTML; tags, links and pictures in it stay text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    markdown.disable(["link", "image", "autolink"])
    tokens = markdown.parse(text)
    for token in tokens:
        token.attrs.pop("style", None)  # the alignment of cells, which the page's policy forbids
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))


def _overview(root: Path, results: RoundResults) -> Picture | None:
    """The picture of all rounds, if a release has compared them."""
    if results.verdict is None:
        return None
    return _picture(root, root / "metrics" / "release.json", "What the rounds changed from SFT")


def _pictures(root: Path, round: str, sources: dict[str, tuple[str, str]]) -> list[Picture]:
    drawn = [_picture(root, root / path.format(round), title) for path, title in sources.values()]
    return [picture for picture in drawn if picture]


def _picture(root: Path, source: Path, title: str) -> Picture | None:
    """The picture of what a stage measured, drawn now if it is missing or older; None if there is nothing."""
    if not source.exists():
        return None
    place = root.joinpath("reports", *source.relative_to(root).with_suffix(".png").parts[1:])
    if not place.exists() or place.stat().st_mtime_ns < source.stat().st_mtime_ns:
        from alignloop.tracking import figures  # brings matplotlib

        if figures.draw(source, place) is None:
            return None
    return Picture(f"data:image/png;base64,{b64encode(place.read_bytes()).decode()}", title)


def _has_page(root: Path, name: str) -> bool:
    return (root / "reports" / "validation" / name / "index.html").exists()


def _exchanges(root: Path, rounds: Sequence[str]) -> list[Exchange]:
    """The first prompts of each category with the responses of base, SFT and every round's policy."""
    files = {name: root / "data" / "evaluation" / name / "responses.jsonl" for name in rounds}
    replies: dict[str, dict[str, EvaluatedResponse]] = {}
    for name in (name for name in reversed(rounds) if files[name].exists()):
        for each in read(files[name], EvaluatedResponse):
            if each.model in ("base", "sft", "policy"):
                model = name if each.model == "policy" else each.model
                # of base and SFT those of the last round, as in the table
                replies.setdefault(each.prompt.id, {}).setdefault(model, each)
    prompts = [next(iter(found.values())).prompt for found in replies.values()]
    shown = [prompts[place] for place in first_of_each([each.category for each in prompts], PROMPTS)]
    order = ["base", "sft", *rounds]
    return [
        Exchange(
            category=prompt.category.replace("_", " "),
            messages=prompt.messages,
            replies=[
                Reply(NAMES.get(model, model), found[model].response, MARKS[found[model].passed])
                for model in order
                if model in (found := replies[prompt.id])
            ],
        )
        for prompt in shown
    ]
