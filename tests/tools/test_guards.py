"""What is refused to a tool: network, processes, settings and references that there are not, no replies."""

import re
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from alignloop.core.tokens import encode_response
from alignloop.params.tools import ToolFunction, Tools
from alignloop.retrieval.documents import Document
from alignloop.retrieval.index import build
from alignloop.tools.descendants import descendants
from alignloop.tools.processes import ToolProcesses
from alignloop.tools.schemas import ToolError
from alignloop.tools.toolbox import Toolbox, open_tools

SEARCH = "alignloop.tools.search:search"
HOSTILE = "own_tools.bad:hostile"
LIMITS: dict[str, Any] = {"timeout_s": 3.0, "characters": 4800, "network": False}


def plan(function: str, network: bool = False, **settings: Any) -> Tools:
    made = [ToolFunction(function=function, network=network, settings=settings)]
    return Tools(functions=made, max_calls=2, answer_tokens=300, timeout_s=3.0)


@pytest.fixture(scope="module")
def tools(tokenizer: PreTrainedTokenizerFast, root: Path) -> Iterator[Toolbox]:
    with open_tools(plan(HOSTILE), tokenizer, root) as tools:
        assert tools
        yield tools


def ask(tools: Toolbox, tokenizer: PreTrainedTokenizerFast, **arguments: Any) -> tuple[str, str]:
    [tool] = tools.definitions
    call = encode_response(tokenizer, tools.form.written(tool.name, arguments))
    [answer] = tools.answer([call])
    return answer.outcome, tools.turns_of([*call, *answer.ids, *encode_response(tokenizer, "Yes.")])[1].text


def test_without_network_every_way_outside_is_refused(tools: Toolbox, tokenizer: PreTrainedTokenizerFast):
    ways = "connect name name_ex address nameinfo addrinfo sendmsg listen unix"
    ways += " spawn forkserver fork popen system spawnlp posix exec"
    for how in ways.split():
        outcome, words = ask(tools, tokenizer, how=how)
        assert (outcome, "is refused: the tool has no network" in words) == ("failed", True), (how, words)
    assert ask(tools, tokenizer, how="asyncio") == ("answered", "slept")


def test_what_a_module_asks_while_it_is_imported_is_refused(tokenizer: PreTrainedTokenizerFast, root: Path):
    words = r"own_tools.asking:ask cannot be used: socket.getaddrinfo is refused: .*network: false"
    with pytest.raises(ToolError, match=words), open_tools(plan("own_tools.asking:ask"), tokenizer, root):
        pass
    with open_tools(plan("own_tools.asking:ask", network=True), tokenizer, root) as tools:
        assert tools


def test_a_process_is_prepared_before_the_time_of_its_first_call_begins(root: Path):
    limits = {**LIMITS, "timeout_s": 0.7, "settings": {}}
    with closing(ToolProcesses("own_tools.bad:slow", root, **limits)) as tool:
        tool.check()
        assert tool.call({}).text == '{"calls": 1}'
        tool._idle.pop().kill()
        assert tool.call({}).text == '{"calls": 1}', "another process, prepared as well"


def test_what_is_no_reply_ends_the_process_and_shifts_no_later_answer(
    tools: Toolbox, tokenizer: PreTrainedTokenizerFast
):
    for how in ("forge", "junk", "unsayable"):
        outcome, words = ask(tools, tokenizer, how=how)
        assert outcome == "failed"
        assert ("wrote to where its process replies" in words) == (how != "unsayable"), words
        assert ask(tools, tokenizer, how="fine")[0] == "answered"
        assert ask(tools, tokenizer, how="problem") == ("failed", "error: hostile: not today")
        if how == "unsayable":
            assert words == "error: hostile: Unsayable"


def test_prints_go_nowhere_also_as_bytes(tools: Toolbox, tokenizer: PreTrainedTokenizerFast):
    assert ask(tools, tokenizer, how="buffer")[0] == "answered"
    assert ask(tools, tokenizer, how="buffers")[0] == "flooded"
    assert ask(tools, tokenizer, how="buffer")[0] == "answered", "each call is counted by itself"


def test_processes_of_sessions_of_their_own_end_with_the_tools(
    tokenizer: PreTrainedTokenizerFast, root: Path
):
    of_a_second = plan(HOSTILE, network=True).model_copy(update={"timeout_s": 1.0})
    with open_tools(of_a_second, tokenizer, root) as tools:
        assert tools
        [process] = tools._tools["hostile"]._idle
        call = encode_response(tokenizer, tools.form.written("hostile", {"how": "apart"}))
        seen = set[int]()
        thread = Thread(target=tools.answer, args=([call],))
        thread.start()
        while thread.is_alive():
            seen |= set(descendants(process._child.pid))
            time.sleep(0.05)
    assert len(seen) >= 2
    for pid in seen:
        with suppress(OSError):
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert status in "ZX", f"{pid} has survived"


def test_a_reference_that_leads_nowhere_or_elsewhere_is_refused_at_the_start(
    tokenizer: PreTrainedTokenizerFast, root: Path
):
    for name, place in (("lost", "#/$defs/n"), ("far", "http://127.0.0.1:9/n")):
        words = re.escape(f"its parameters refer to {place}, which is not in the schema")
        with (
            pytest.raises(ToolError, match=words),
            open_tools(plan(f"own_tools.bad:{name}"), tokenizer, root),
        ):
            pass


def test_references_within_a_schema_are_followed_and_none_without_end(
    tokenizer: PreTrainedTokenizerFast, root: Path
):
    with open_tools(plan("own_tools.bad:near"), tokenizer, root) as tools:
        assert tools
        assert ask(tools, tokenizer, n=4) == ("answered", "4")
        assert ask(tools, tokenizer, n="4") == ("broken", "error: near: n: '4' is not of type 'integer'")
        assert ask(tools, tokenizer, m=4) == ("broken", "error: near: nested too deeply")


def test_settings_that_cannot_be_used_stop_before_the_first_call(
    tokenizer: PreTrainedTokenizerFast, root: Path
):
    build(root / "i", [Document("mill.txt", "The mill", "Built in 1820.", "MIT")])
    (root / "text").write_text("text")
    search: list[tuple[dict[str, Any], str]] = [
        ({}, "search: settings.index: is missing; state it"),
        ({"index": "i", "pasages": 3}, "settings.pasages: there is no such setting; it takes index, content"),
        ({"index": "i", "passages": 2.5}, "settings.passages: 2.5 is not of type 'integer'; mend it"),
        ({"index": "i", "passages": None}, "settings.passages: None is not of type 'integer'"),
        ({"index": "i", "passages": True}, "settings.passages: True is not of type 'integer'"),
        ({"index": "i", "passages": -1}, "settings.passages: -1 is less than the minimum of 1"),
        ({"index": 3}, "settings.index: 3 is not of type 'string'"),
        ({"index": "i", "query": "mill"}, "settings.query: is an argument that the policy chooses"),
        ({"index": "text"}, "search: text: is no index of passages"),
        ({"index": "i", "content": "abc"}, "is expected; state the present one in tools.functions"),
    ]
    with closing(ToolProcesses(SEARCH, root, **LIMITS, settings={"index": "i"})) as tool:
        tool.check()
        for settings, words in search:
            tool._settings = settings
            with pytest.raises(ToolError, match=re.escape(words)):
                tool.check()
    wrong: list[tuple[str, dict[str, Any], str]] = [
        (SEARCH, {"index": "none.sqlite"}, "search:search: none.sqlite: there is no such index; build it"),
        ("own_tools.bad:double", {"faktor": 2}, "settings.faktor: there is no such setting; it takes factor"),
    ]
    for function, settings, words in wrong:
        with pytest.raises(ToolError, match=words), open_tools(plan(function, **settings), tokenizer, root):
            pass
