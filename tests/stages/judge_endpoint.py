"""A judge model for tests: an OpenAI-compatible endpoint on the loopback."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Endpoint(ThreadingHTTPServer):
    """An OpenAI-compatible endpoint on the loopback that prefers longer responses; `first` comes first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.first: list[int | str] = []


class Handler(BaseHTTPRequestHandler):
    server: Endpoint  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.keys.append(self.headers["Authorization"])
        parts = body["messages"][1]["content"].split("Answers:\n\n")[1].split("\n\n[answer ")
        texts = {part.removeprefix("[answer ")[0]: part.split("]\n", 1)[1] for part in parts}
        sizes = sorted({len(text) for text in texts.values()}, reverse=True)
        said = json.dumps({"ranks": {letter: sizes.index(len(text)) + 1 for letter, text in texts.items()}})
        before = self.server.first.pop(0) if self.server.first else None
        status = before if isinstance(before, int) else 200
        said = before if isinstance(before, str) else f"Here it is:\n```json\n{said}\n```"
        answer = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass
