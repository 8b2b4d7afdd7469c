"""A server's process without its weight: `python relay.py HUB MODEL HOST PORT`.

It asks the hub for a stub on the folder MODEL, with the key in its environment, and passes bytes on to it
until it is ended. Standard library only, so that it starts at once.
"""

import os
import socket
import sys
import threading
from contextlib import suppress
from urllib.parse import urlencode
from urllib.request import urlopen


def main(hub: str, model: str, host: str, port: str) -> None:
    about = {"folder": model, "key": os.environ["VLLM_API_KEY"], "pid": os.getpid()}
    with urlopen(f"{hub}/open?{urlencode(about)}") as reply:
        stub = int(reply.read())
    server = socket.create_server((host, int(port)), backlog=128)
    while True:
        asked, _ = server.accept()
        served = socket.create_connection(("127.0.0.1", stub))
        for source, target in ((asked, served), (served, asked)):
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    for each in (source, target):  # a connection that one side closes is closed for the other
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    main(*sys.argv[1:])
