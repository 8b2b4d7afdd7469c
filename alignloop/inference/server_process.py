"""An inference server that this process starts, waits for and ends."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx

from alignloop.inference.http_client import KEY_VARIABLE, SamplerError

SUPERVISOR = Path(__file__).with_name("supervisor.py")
LOG = Path(".cache", "sampler.log")
LINES = 5  # of the log that a message shows
POLL_S = 0.5
OWN_SECRETS = ("ALIGNLOOP_", "DATABASE_URL", "MLFLOW_", "PREFECT_", "AWS_")  # not the server's business


class ServerProcess:
    """The server that `command` starts; it ends with the block, and with this process.

    In the command {model} is the checkpoint's folder, {host} and {port} are those of `url`.
    """

    def __init__(
        self,
        command: str,
        url: str,
        model: Path,
        start_timeout_s: float,
        *,
        section: str = "rollout",
        log: Path = LOG,
        key: str | None = None,
    ) -> None:
        """`section` of params.yaml has the command. With a `key` the server is asked with it, and for
        responses alone; without, with the environment's, and for new weights too.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        values = {"{model}": str(model), "{host}": str(parts.hostname), "{port}": str(port)}
        self._arguments = [_filled(word, values) for word in shlex.split(command)]
        self._url, self._start_timeout_s = url, start_timeout_s
        self._section, self._log = section, log
        self._key = key
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "ServerProcess":
        """Start the server and wait until it serves. Raises SamplerError."""
        if self._status() is not None:
            raise SamplerError(
                f"{self._url}: a server answers here already; end it, or set {self._section}.command to null "
                "to use it"
            )
        if not shutil.which(self._arguments[0]):
            raise SamplerError(
                f"{self._section}.command: there is no program {self._arguments[0]}; correct its path, or "
                "set it to null if the server runs already"
            )
        self._log.parent.mkdir(parents=True, exist_ok=True)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(OWN_SECRETS)}
        if self._key is None:
            environ["VLLM_SERVER_DEV_MODE"] = "1"  # else the routes that change weights do not exist
        if key := self._key or os.environ.get(KEY_VARIABLE):
            environ["VLLM_API_KEY"] = key
        with self._log.open("wb") as log:
            self._log.chmod(0o600)
            self._process = subprocess.Popen(
                [sys.executable, str(SUPERVISOR), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,  # Ctrl-C is for this process, which then ends the server
            )
        try:
            self._wait()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End the server and wait until it is gone."""
        if self._process and self._process.stdin:
            self._process.stdin.close()  # the supervisor ends it
            self._process.wait()

    def died(self) -> str | None:
        """Why the server is gone, with the end of its log; None while it runs."""
        status = self._process.poll() if self._process else None
        if status is None:
            return None
        with self._log.open(encoding="utf-8", errors="replace") as log:
            last = " / ".join(line.strip() for line in deque(log, LINES) if line.strip())
        name = Path(self._arguments[0]).name
        return f"{name} ended with exit status {status}; the end of {self._log}: {last[-600:] or 'nothing'}"

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while self._status() != 200:
            if died := self.died():
                raise SamplerError(
                    f"{self._url}: {self._section}.command: {died}; correct the command and run again"
                )
            if time.monotonic() > deadline:
                raise SamplerError(
                    f"{self._url}: {self._section}.command: the server did not serve within "
                    f"{self._start_timeout_s:g} s; look at {self._log}, or raise "
                    f"{self._section}.start_timeout_s"
                )
            time.sleep(POLL_S)

    def _status(self) -> int | None:
        """The status of its health; None if nothing answers."""
        try:
            return httpx.get(f"{self._url}/health", timeout=2).status_code
        except httpx.HTTPError:
            return None


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
