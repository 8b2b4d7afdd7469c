"""An OpenAI-compatible endpoint on the loopback, for tests of the judge model and of a teacher."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Canned = int | str | bytes | dict[str, Any]  # a status, a text, a whole body, or keys of the completion


class ChatServer(ThreadingHTTPServer):
    """Replies with what `reply` makes of a request's body; what is in `first` comes before, each once."""

    daemon_threads = True

    def __init__(self, reply: Callable[[dict[str, Any]], Canned]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.first: list[Any] = []  # Canned
        self.headers: dict[str, str] = {}  # of replies with another status than 200
        self.about: dict[str, Any] = {"model": "big-1", "system_fingerprint": "fp_1"}
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: ChatServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.keys.append(self.headers["Authorization"])
        said = self.server.first.pop(0) if self.server.first else self.server.reply(body)
        status = said if isinstance(said, int) else 200
        content = said if isinstance(said, bytes) else json.dumps(self._completion(said)).encode()
        self.send_response(status)
        for name, value in self.server.headers.items() if status != 200 else ():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _completion(self, said: Canned) -> dict[str, Any]:
        """A completion of 7 tokens after a prompt of 11."""
        text = said if isinstance(said, str) else ""
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 11, "completion_tokens": 7}
        completion = {**self.server.about, "choices": [choice], "usage": usage}
        return completion | (said if isinstance(said, dict) else {})

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(server: ChatServer) -> Iterator[ChatServer]:
    """The server while it serves on a thread."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
