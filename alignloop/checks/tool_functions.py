"""What `tools.functions` names: can it be called, with these settings, has an answer room for a result."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from alignloop.checks.findings import Finding, error
from alignloop.params import Params
from alignloop.retrieval.index import FOLDER
from alignloop.tools.schemas import ToolError
from alignloop.tools.toolbox import open_tools

NAME = "tools"


def check_tools(params: Params, tokenizer: PreTrainedTokenizerBase, root: Path) -> list[Finding]:
    """What a stage would find as it opens the tools; an index that a stage will make may be missing."""
    waiting = _waiting(params, root)
    try:
        with open_tools(params.tools, tokenizer, root, unready=waiting) as tools:
            if tools is None:
                return []
            names = ", ".join(each.name for each in tools.definitions)
            told = [each.removeprefix("tools: ") for each in tools.new_faults()]
    except ToolError as fault:
        return [error(NAME, line.removeprefix("tools: ")) for line in str(fault).splitlines()]
    found = [Finding(NAME, "ok", f"responses may call {names}")]
    for collection in waiting.values():
        message = f"the index of documents.{collection} is not there yet: search_index@{collection} makes it"
        found.append(Finding(NAME, "note", message, "nothing: `make run` makes it before it is searched"))
    for each in told:
        message, _, remedy = each.rpartition("; ")
        found.append(Finding(NAME, "warning", message, remedy))
    return found


def _waiting(params: Params, root: Path) -> dict[str, str]:
    """The functions whose index a stage has not made yet, with the collection of its documents."""
    found: dict[str, str] = {}
    for each in params.tools.functions:
        index = root / str(each.settings.get("index", ""))
        for collection in params.documents:
            if index.resolve() == (root / FOLDER / f"{collection}.sqlite").resolve() and not index.exists():
                found[each.function] = collection
    return found
