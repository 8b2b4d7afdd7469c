"""A judge model for tests: an OpenAI-compatible endpoint on the loopback."""

import json
from typing import Any

from tests.chat_server import ChatServer


class Endpoint(ChatServer):
    """An OpenAI-compatible endpoint on the loopback that prefers longer responses; `first` comes first."""

    def __init__(self) -> None:
        super().__init__(_verdict)


def _verdict(body: dict[str, Any]) -> str:
    parts = body["messages"][1]["content"].split("Answers:\n\n")[1].split("\n\n[answer ")
    texts = {part.removeprefix("[answer ")[0]: part.split("]\n", 1)[1] for part in parts}
    sizes = sorted({len(text) for text in texts.values()}, reverse=True)
    said = json.dumps({"ranks": {letter: sizes.index(len(text)) + 1 for letter, text in texts.items()}})
    return f"Here it is:\n```json\n{said}\n```"
