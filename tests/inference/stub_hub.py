"""Stubs of vLLM in this process, one for each server process that `relay.py` stands for."""

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.inference.stub_server import Stub

RELAY = Path(__file__).with_name("relay.py")


class Hub(ThreadingHTTPServer):
    """Opens a stub for each server process that asks for one; `stubs` and `pids` are in order."""

    daemon_threads = True

    def __init__(self, **faults: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: dict[str, Any] = faults
        self.stubs: list[Stub] = []
        self.pids: list[int] = []

    @property
    def command(self) -> str:
        """The command line that starts a server."""
        words = [sys.executable, "-S", str(RELAY), f"http://127.0.0.1:{self.server_port}"]
        return f"{shlex.join(words)} {{model}} {{host}} {{port}}"

    def open(self, folder: str, key: str) -> int:
        stub = Stub(Path(folder), 0, **({"root": folder, "key": key} | self.faults))
        self.stubs.append(stub)
        threading.Thread(target=stub.serve_forever, args=(0.02,), daemon=True).start()
        return stub.server_port


class _Handler(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.server.pids.append(int(asked["pid"][0]))
        content = str(self.server.open(asked["folder"][0], asked["key"][0])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving_hub(**faults: Any) -> Iterator[Hub]:
    """A hub while it serves on a thread."""
    with Hub(**faults) as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
            for stub in hub.stubs:
                stub.shutdown()
                stub.server_close()
