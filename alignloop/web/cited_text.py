"""A response's text for readers while its pieces come, and its sources as the API tells them."""

from typing import Any

from alignloop.retrieval.citations import search_answers, sourced
from alignloop.retrieval.reading import CitationStream, cited
from alignloop.serving.generation import Piece


class CitedText:
    """One response; `text` is what its last turn says, citations counted from 1 if it has searched."""

    def __init__(self) -> None:
        self.text = ""
        self.before = 0  # characters that were given out before the last turn, as a stream has them
        self._reader: CitationStream | None = None
        self._answers: list[str] = []  # of the search
        self._raw = ""

    def take(self, piece: Piece) -> str:
        """What a stream says of a piece. What stood before a call is followed by a blank line."""
        piece_text, ended = piece.text, ""
        if piece.news:
            ended = "\n\n" if self.text else ""
            self.before += len(self.text + ended)
            self.text = self._raw = ""
            self._reader = None
        if not self._raw and (found := search_answers(piece.turns)):
            self._answers, self._reader = found, CitationStream(found)
        self._raw += piece_text
        shown = self._reader.add(piece_text) if self._reader else piece_text
        if piece.finish and self._reader:
            shown += self._reader.finish()
        self.text += shown
        return ended + shown

    def fields(self, offset: int = 0) -> dict[str, Any]:
        """The sources of a response that has searched, and where it cites them; else nothing."""
        if not self._answers:
            return {}
        sources = sourced(self._raw, self._answers).sources
        annotations = [
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": offset + each.start,
                    "end_index": offset + each.end,
                    "title": sources[each.place - 1].title,
                    "url": sources[each.place - 1].document,
                },
            }
            for each in cited(self.text, sources)
        ]
        listed = [
            {
                "number": place,
                "title": each.title,
                "document": each.document,
                "licence": each.licence,
                "text": each.text,
            }
            for place, each in enumerate(sources, 1)
        ]
        return {"annotations": annotations, "sources": listed}
