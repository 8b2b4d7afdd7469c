"""Which records are a user's: of the user's prompts, or with a passage of the user's documents in them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignloop.data.content_ids import content_id
from alignloop.params import Params
from alignloop.retrieval.citations import CUT, SEARCH
from alignloop.retrieval.documents import Document, documents_of
from alignloop.retrieval.index import DEFAULT, FOLDER, documents_in
from alignloop.retrieval.index_file import is_ours
from alignloop.retrieval.words import passages_of, plain

HEADER = re.compile(r"\[\d+\] (.+)")  # of a passage, as a search shows it
SHORTEST = 20  # characters of a text that was cut, by which its document is known
Row = dict[str, Any]


class ShownPassages:
    """Knows texts of tools in which a passage of these documents is shown, whole or cut."""

    def __init__(self, documents: Iterable[Document] = ()) -> None:
        self._ids, self._headers = set[str](), set[str]()
        self._texts = set[str]()
        for each in documents:
            title, id, licence = (
                _words(part).replace("|", "/") for part in (each.title, each.id, each.licence)
            )
            self._ids.add(f" | {id} | ")
            self._headers.add(f"{title} | {id} | {licence}")
            self._texts |= {_words(passage) for passage in passages_of(plain(each.text))}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def are_in(self, text: str) -> bool:
        """Whether the text of a tool shows one."""
        return any(self._is_of(line) for line in text.split("\n"))

    def _is_of(self, line: str) -> bool:
        words = _words(line)
        cut = words.removesuffix(CUT).rstrip()
        if header := HEADER.fullmatch(cut):
            rest = header[1]
            return any(id in rest for id in self._ids) or _begins(self._headers, rest)
        whole = len(words) >= SHORTEST and words in self._texts  # a shorter line may be anything
        return whole or (cut != words and _begins(self._texts, cut))


def _begins(texts: Iterable[str], start: str) -> bool:
    return start in texts or (len(start) >= SHORTEST and any(text.startswith(start) for text in texts))


def _words(text: str) -> str:
    return " ".join(plain(text).split())


@dataclass
class User:
    """A user, by the ids that records may use; ids and texts of the user's prompts found so far.

    `passages` are of the user's documents. Responses to other users' prompts that were shown one are found
    as well: `read_prompts` and `read_texts` are of these prompts, `read` of their responses, by prompt.
    """

    id: str
    prompts: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    passages: ShownPassages = field(default_factory=ShownPassages)
    read: set[tuple[str, str]] = field(default_factory=set)
    read_prompts: set[str] = field(default_factory=set)
    read_texts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        # `prepare` replaces an id that is personal data itself by the second form
        self.ids = {self.id, content_id("user", self.id)}

    def owns(self, row: Row) -> bool:
        """Whether a record is the user's prompt or demonstration, made from one, or from a document."""
        prompt = row.get("prompt")
        owned = prompt if isinstance(prompt, dict) else row
        if owned.get("user") in self.ids:
            self.prompts.add(str(owned.get("id")))
            self.texts |= _texts(owned)
            return True
        return (isinstance(prompt, str) and prompt in self.prompts) or (
            bool(self.passages) and self._was_read(row, owned)
        )

    def _was_read(self, row: Row, owned: Row) -> bool:
        """Whether one of the documents was read for a response in a record, and which response it is."""
        id = _prompt_id(row)
        responses = row.get("responses") or [row.get("response") or ""]
        turns = row.get("turns") or []
        each = turns if turns and isinstance(turns[0], list) else [turns]
        found = {response for response, turns in zip(responses, each, strict=False) if self._is_shown(turns)}
        self.read |= {(id, response) for response in found if response}
        calls = any(self.passages.are_in(str(call.get("result"))) for call in row.get("calls") or ())
        if not (found or calls or any((id, response) in self.read for response in responses)):
            return False
        self.read_prompts.add(id)
        self.read_texts |= _texts(owned)
        return True

    def _is_shown(self, turns: Sequence[Row]) -> bool:
        read = (turn["text"] for turn in turns if turn["by"] == "tool" and turn.get("tool") in (None, SEARCH))
        return any(self.passages.are_in(text) for text in read)

    def made(self, prompt: Row, responses: Iterable[str]) -> bool:
        """Whether one of these responses to a prompt was made from one of the user's documents."""
        return any((str(prompt.get("id")), response) in self.read for response in responses)


def _prompt_id(row: Row) -> str:
    prompt = row.get("prompt")
    return str(prompt.get("id") if isinstance(prompt, dict) else prompt or row.get("id"))


def _texts(owned: Row) -> set[str]:
    return {str(turn.get("content")) for turn in owned.get("messages", ())}


def has_turns(path: str) -> bool:
    """Whether records of a set say what their responses were shown, so that they are searched first."""
    return path.startswith(("data/samples", "data/evaluation", "data/release"))


def indexes(root: Path, params: Params) -> list[Path]:
    """All indexes of a project: the command's, the pipeline's, and those that its tools are set to."""
    stated = [function.settings.get("index") for function in params.tools.functions]
    places = [root / DEFAULT, *sorted((root / FOLDER).glob("*.sqlite"))]
    places += [root / place for place in stated if isinstance(place, str) and is_ours(root / place)]
    return list({place.resolve(): place for place in places if place.is_file()}.values())


def folders(root: Path, params: Params) -> list[Path]:
    """The folders of the collections of documents."""
    found = [root / plan.folder for plan in params.documents.values()]
    return [folder for folder in found if folder.is_dir()]


def documents_of_user(root: Path, params: Params, ids: set[str]) -> Iterator[Document]:
    """The user's documents, in all indexes and in the folders that they are made of."""
    for place in indexes(root, params):
        yield from documents_in(place, ids)
    for folder in folders(root, params):
        yield from documents_of(folder, ids)
