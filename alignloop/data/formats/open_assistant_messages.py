"""Open-Assistant's flat table, a message per row, as on the Hub: the trees are put together from `parent_id`.

https://huggingface.co/datasets/OpenAssistant/oasst2

The records are those of the trees (open_assistant.py), each on the line of its message. All messages are held
in memory, since a table may be in any order. Refused are messages whose parent is missing or follows them in
a circle, and repeated ids.
"""

from collections.abc import Iterator
from pathlib import Path

from alignloop.data.formats import containers
from alignloop.data.formats.importer import Format, ImportedRow, Refused, convert_rows, has_keys
from alignloop.data.formats.open_assistant import ASIDE, Node, Tree, tree_records
from alignloop.data.formats.written_values import WrittenId


class Message(Node):
    parent_id: WrittenId = ""
    message_tree_id: WrittenId = ""


def _read(path: Path, source: str) -> Iterator[ImportedRow]:
    messages: dict[str, Message] = {}
    lines: dict[str, int] = {}
    for line, message in convert_rows(path, Message, lambda message: [message], ASIDE):
        if isinstance(message, Refused):
            yield line, message
        elif not message.message_id or message.message_id in messages:
            yield line, Refused("a message without an id, or with one that another message has")
        else:
            messages[message.message_id] = message
            lines[message.message_id] = line
    for message in messages.values():
        if message.parent_id in messages:
            messages[message.parent_id].replies.append(message)
    reached = set[str]()
    for message in messages.values():
        if message.parent_id:
            continue
        tree = Tree(message_tree_id=message.message_tree_id or message.message_id, prompt=message)
        reached |= _ids(message)
        for node, item in tree_records(tree, source):
            yield lines[node.message_id], item
    for id, line in lines.items():
        if id not in reached:
            yield line, Refused("a message that no parents lead to")


def _trees(path: Path) -> Iterator[tuple[int, str]]:
    """The first message of the tree that each row is in."""
    rows = [(line, row) for line, row in containers.read(path) if isinstance(row, dict)]
    parents = {str(row.get("message_id")): str(row.get("parent_id") or "") for _, row in rows}
    for line, row in rows:
        id = str(row.get("message_id"))
        passed = {id}
        while (parent := parents.get(id, "")) and parent not in passed:
            id = parent
            passed.add(id)
        yield line, id


def _ids(root: Node) -> set[str]:
    """The ids of a message and of all that follow it."""
    found, todo = set[str](), [root]
    while todo:
        node = todo.pop()
        found.add(node.message_id)
        todo += node.replies
    return found


OPEN_ASSISTANT_MESSAGES = Format(
    "{message_id, parent_id, role, text, rank}: a message of a tree on each row",
    lambda row: has_keys(row, "message_id", "parent_id", "role", "text"),
    _read,
    belongs=_trees,
)
