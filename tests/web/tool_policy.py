"""A small policy that has learned by heart when to call a tool, and the tools that it calls."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerFast

from alignloop.core.models import new_policy
from alignloop.core.tokens import Encoded, encode_response, train_tokenizer
from alignloop.params.tools import ToolFunction, Tools
from alignloop.records import Demonstration, Message
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import build
from alignloop.serving.engine import EngineSettings
from alignloop.serving.local_engine import LocalEngine
from alignloop.serving.served_version import ServedVersion
from alignloop.tool_turns import ToolCall
from alignloop.tools.answer_form import Turn
from alignloop.tools.demonstrations import encoded
from alignloop.tools.responder import open_responder
from alignloop.tools.toolbox import Toolbox

NAME = "alignloop-policy@champion"
CONTEXT = 512
IMAGE, SCRIPT = "<img src=x onerror=alert(1)>", "<script>alert(2)</script>"
DOCUMENTS = [
    Document("hill.md", "The hill", "The hill is green.", "MIT"),
    Document("mill.md", f"The mill {IMAGE}", f"The mill was built in 1820. {SCRIPT}", "CC-BY-4.0"),
]
ODD = """
import time
from alignloop.tools.definition import tool

@tool("odd", "Odd.", {"type": "object"})
def odd(how):
    if how == "hang":
        time.sleep(60)
    while how == "flood":
        print("x" * 1_000_000)
    return how
"""


class Learned(NamedTuple):
    """What is asked, what is called in turn, and what is said in the end."""

    asked: str
    calls: Sequence[tuple[str, dict[str, Any]]]
    said: str
    system: str = ""


MILL = Learned(
    "When was the mill built?", [("search", {"query": "mill built"})], "In 1820 [2]. So it is [9]."
)
HANG = Learned("Wait.", [("odd", {"how": "hang"})], "I waited.")
FLOOD = Learned("Flood.", [("odd", {"how": "flood"})], "Too much.")
LONG = Learned("Hello?", [], "Hello to you, and to all who are here and there, over the hill and far away.")
MANY = Learned("Again.", [("odd", {"how": "1"}), ("odd", {"how": "2"}), ("odd", {"how": "3"})], "Not said.")
OFF = Learned(MILL.asked, [], "I do not know.", "browsing: disabled")
ALL = (MILL, HANG, FLOOD, LONG, MANY, OFF)


def plan(**changes: Any) -> Tools:
    """The search and an odd tool."""
    settings = {"index": "search.sqlite", "passages": 1}
    functions = [
        ToolFunction(function="alignloop.tools.search:search", network=False, settings=settings),
        ToolFunction(function="own_tools.odd:odd", network=False, settings={}),
    ]
    made = Tools(functions=functions, max_calls=2, answer_tokens=100, timeout_s=1.0)
    return made.model_copy(update=changes)


def make_tools(root: Path) -> Path:
    """Put the tools and the index into a folder."""
    (root / "own_tools").mkdir(parents=True)
    (root / "own_tools" / "__init__.py").touch()
    (root / "own_tools" / "odd.py").write_text(ODD)
    build(root / "search.sqlite", DOCUMENTS)
    return root


class InMemory:
    """One model as the registry's only version."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, root: Path, rows: Sequence[Encoded]
    ) -> None:
        self._loaded = model, tokenizer
        self.root, self.rows = root, rows  # the tools' folder, and what the model has learned

    def versions(self) -> list[ServedVersion]:
        return [ServedVersion("alignloop-policy/1", ("champion",), "0123456789abcdef", "passed")]

    def open(self, version: ServedVersion, settings: EngineSettings) -> LocalEngine:
        return LocalEngine(*self._loaded, settings)


def learn_by_heart(root: Path) -> InMemory:
    """A policy that says what `ALL` has at temperature 0, with the tools in the folder `root`."""
    first = train_tokenizer([each.asked + each.said for each in ALL], 300)
    tokenizer = train_tokenizer([str(first.decode(row.ids)) for row in _rows(root, first)] * 3, 1000)
    model = new_policy(tokenizer, layers=1, width=128, heads=4, context=CONTEXT, seed=0)
    rows = _rows(root, tokenizer)
    _learn(model, rows)
    return InMemory(model.eval(), tokenizer, root, rows)


def _rows(root: Path, tokenizer: PreTrainedTokenizerFast) -> list[Encoded]:
    """The dialogues in the tokens that they have while they are served, each answer by the tool itself."""
    with open_responder(plan(timeout_s=0.5), tokenizer, root) as responder:
        assert responder.tools
        return [
            encoded(responder.tools, tokenizer, _demonstration(responder.tools, each, tokenizer))
            for each in ALL
        ]


def _demonstration(tools: Toolbox, each: Learned, tokenizer: PreTrainedTokenizerFast) -> Demonstration:
    calls: list[ToolCall] = []
    for name, arguments in each.calls:
        [answer] = tools.answer([encode_response(tokenizer, tools.form.written(name, arguments))])
        words = tools.answers.words(Turn(answer.ids, False)).replace("within 0.5 s", "within 1 s")
        calls.append(ToolCall(name=name, arguments=arguments, result=words))
    said = [("system", each.system)] if each.system else []
    said += [("user", each.asked), ("assistant", each.said)]
    messages = tuple(Message.model_validate({"role": role, "content": text}) for role, text in said)
    return Demonstration(id="d", messages=messages, user="u", labeler="l", source="test", calls=tuple(calls))


def _learn(model: PreTrainedModel, rows: Sequence[Encoded]) -> None:
    """Until every row is said at temperature 0; the beginning that most rows share is read once a step."""
    *calling, alone = rows
    shared = min(row.mask.index(True) for row in calling) - 8
    assert len({tuple(row.ids[:shared]) for row in calling}) == 1
    assert max(len(row.ids) for row in rows) + 40 < CONTEXT
    parts = [_padded(calling, shared), _padded([alone], 0)]
    beginning = torch.tensor([calling[0].ids[:shared]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(200):
        cache = DynamicCache()
        model(beginning, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(calling))
        losses, is_said = [], True
        for (ids, labels), before in zip(parts, (cache, None), strict=True):
            output = model(ids, labels=labels, past_key_values=before)
            best, wanted = output.logits[:, :-1].argmax(-1), labels[:, 1:]
            is_said &= bool(((best == wanted) | (wanted == -100)).all())
            losses.append(output.loss)
        loss = torch.stack(losses).sum()
        if is_said and loss.item() < 0.05:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError("the policy has not learned its dialogues")


def _padded(rows: Sequence[Encoded], start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels (B, T) of the rows from a place on."""
    longest = max(len(row.ids) for row in rows) - start
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for place, row in enumerate(rows):
        own, on = torch.tensor(row.ids[start:]), torch.tensor(row.mask[start:])
        ids[place, : len(own)] = own
        labels[place, : len(own)] = own.where(on, torch.tensor(-100))
    return ids, labels
