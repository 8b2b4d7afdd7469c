"""A server that starts at once: `python small_server.py PORT [dies | silent | stubborn | cleans] …`."""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

CLEANING = """import signal, sys, time
def clean(*_):
    time.sleep(0.5)
    open("cleaned", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, clean)
print("ready", flush=True)
time.sleep(60)
"""
CHILD = 0
if "stubborn" in sys.argv:
    CHILD = subprocess.Popen(["sleep", "60"]).pid
if "cleans" in sys.argv:
    cleaner = subprocess.Popen([sys.executable, "-c", CLEANING], stdout=subprocess.PIPE)
    assert cleaner.stdout
    cleaner.stdout.readline()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        about = {"pid": str(os.getpid()), "child": str(CHILD), "arguments": " ".join(sys.argv[2:])}
        content = json.dumps({**os.environ, **about} if self.path == "/environment" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


if "dies" in sys.argv:
    print("out of memory")
    sys.exit(3)
if "silent" in sys.argv:
    time.sleep(60)
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
