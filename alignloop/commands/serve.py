"""`python -m alignloop serve`: serve Prefect with a worker, MLflow and the labeling pages on loopback.

They use SQLite files of the project, or PostgreSQL where a URL is set: DATABASE_URL for labels, and
Prefect's and MLflow's own PREFECT_SERVER_DATABASE_CONNECTION_URL and MLFLOW_BACKEND_STORE_URI. If one of
them ends, all end, so that a supervisor can start all of them again.
"""

import argparse
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from alignloop import params as parameters
from alignloop.errors import AlignloopError
from alignloop.labeling.accounts import administrators_link
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.pipeline.checkout_lock import hold_lock_file
from alignloop.pipeline.environment import MLFLOW_DATABASE, SERVING
from alignloop.pipeline.mlflow_pages import EXPERIMENT, runs_table
from alignloop.web.addresses import listening_port

HOST = "127.0.0.1"
DIRECT = build_opener(ProxyHandler({}))  # no proxy for loopback
LOGS = Path(".cache")
PATIENCE_SECONDS = 600.0
GRACE_SECONDS = 20.0
STORE_URL = f"sqlite:///{MLFLOW_DATABASE}"
PREFECT, MLFLOW = "PREFECT_SERVER_DATABASE_CONNECTION_URL", "MLFLOW_BACKEND_STORE_URI"
SERVER_KEY, CLIENT_KEY = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"
SHARED = ("PREFECT_API_URL", CLIENT_KEY, "MLFLOW_TRACKING_URI")  # what runs on this checkout need


class ServeError(AlignloopError):
    """A server cannot be started, or has ended; the message has its name and the place of its log."""


@dataclass(frozen=True)
class Service:
    """One program: its name, its command, the address that replies when it is ready, its page and port."""

    name: str
    command: Sequence[str]
    health: str | None
    page: str | None = None
    port: int | None = None


def command(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C or SIGTERM. Raises ServeError if a service ends by itself."""
    parser = argparse.ArgumentParser("python -m alignloop serve", description=__doc__)
    parser.add_argument("--prefect-port", type=int, default=4200, metavar="PORT", help="%(default)s")
    parser.add_argument("--mlflow-port", type=int, default=5000, metavar="PORT", help="%(default)s")
    labels_help = "that of people.url; 4300 if it is https, whose port a proxy holds"
    parser.add_argument("--labels-port", type=int, metavar="PORT", help=labels_help)
    options = parser.parse_args(arguments)
    labels_url = parameters.load(Path("params.yaml")).people.url
    services, env = plan_services(
        options.prefect_port,
        options.mlflow_port,
        labels_url,
        os.environ,
        labels_port=options.labels_port,
    )
    for service in services:
        if service.port:
            _check_free(service.name, service.port)
    LOGS.mkdir(exist_ok=True)
    if any(STORE_URL in service.command for service in services) and not MLFLOW_DATABASE.exists():
        from alignloop.tracking import create_store  # imports MLflow, which takes seconds

        create_store(MLFLOW_DATABASE)
    link = _administrators_link(labels_url)
    try:
        with _running(services, env) as processes:
            _await_all(services, processes)
            _keep_for_owner(SERVING)
            with hold_lock_file(SERVING, {name: env[name] for name in SHARED if name in env}):
                for service in (service for service in services if service.page):
                    address = _runs_table(str(service.page)) if service.name == "MLflow" else service.page
                    print(f"{service.name:8} {address}", flush=True)
                key = f"{CLIENT_KEY} in {SERVING} signs in to Prefect"
                print(f"{key}; logs in {LOGS}/; Ctrl-C ends all", flush=True)
                if link:
                    print(f"labels: {link}", flush=True)
                while True:
                    _check_alive(processes)
                    time.sleep(0.5)
    except KeyboardInterrupt:
        print("serve: all services have ended", file=sys.stderr)
        return 0


def _administrators_link(url: str) -> str:
    """The first administrator's invitation link, made here: it is a secret, so no log of a service has it."""
    database = LabelingDatabase(database_url(Path.cwd()))
    try:
        return administrators_link(database, url)
    finally:
        database.close()


def plan_services(
    prefect_port: int,
    mlflow_port: int,
    labels_url: str,
    environ: Mapping[str, str],
    *,
    labels_port: int | None = None,
) -> tuple[list[Service], dict[str, str]]:
    """Return the services to start, and the environment of all of them."""
    server, tracking = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}"
    env = {**environ, "PREFECT_API_URL": f"{server}/api", "PREFECT_UI_URL": server, "PYTHONUNBUFFERED": "1"}
    env.setdefault("PREFECT_WORKER_QUERY_SECONDS", "5")
    # who reaches Prefect's API can start any command: loopback alone keeps out neither accounts nor web pages
    key = env.setdefault(SERVER_KEY, f"operator:{secrets.token_urlsafe(32)}")
    env[CLIENT_KEY] = key
    env.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", f"{server},http://localhost:{prefect_port}")
    # off: seven processes for MLflow's judges and prompts, which this project does not use
    env.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    if PREFECT in environ:
        env[PREFECT] = re.sub(r"^postgres(ql)?://", "postgresql+asyncpg://", environ[PREFECT])
    store = ["--backend-store-uri", STORE_URL]
    if MLFLOW in environ:  # stages then reach the store, and artifacts, through this server
        env[MLFLOW] = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", environ[MLFLOW])
        env["MLFLOW_TRACKING_URI"] = tracking
        # the URL, which has a password, stays in the environment
        store = ["--artifacts-destination", "mlruns/artifacts"]
    python = sys.executable
    port = labels_port or listening_port(labels_url)
    services = [
        Service(
            "Prefect",
            [python, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)],
            f"{server}/api/health",
            server,
            prefect_port,
        ),
        Service(
            "labels",
            [python, "-m", "alignloop", "label", "serve", "--port", str(port)],
            f"http://{HOST}:{port}/health",
            labels_url,
            port,
        ),
        Service("worker", [python, "-m", "flows.worker"], None),
    ]
    external = environ.get("MLFLOW_TRACKING_URI", "").startswith("http")
    if MLFLOW in environ or not external:
        options = [
            "--host",
            HOST,
            "--port",
            str(mlflow_port),
            "--workers",
            "1",
            "--uvicorn-opts",
            "--log-level warning",
            *store,
        ]
        services.insert(
            1,
            Service(
                "MLflow",
                [python, "-m", "mlflow", "server", *options],
                f"{tracking}/health",
                tracking,
                mlflow_port,
            ),
        )
    return services, env


def _keep_for_owner(file: Path) -> None:
    """Make a file that only its owner can read: it will hold the key of Prefect's API."""
    file.touch(0o600)
    file.chmod(0o600)


def _check_free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServeError(
                f"{name}: port {port} cannot be used: {error.strerror}; "
                "end the program that holds it (`ss -ltnp` shows it; another `make serve`?), "
                "or name another port (`python -m alignloop serve --help`)"
            ) from None


@contextmanager
def _running(
    services: Sequence[Service], env: Mapping[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start all services, each in its own session and with its own log; end them in reverse order."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for service in services:
            log = _log(service.name)
            if log.exists():
                log.replace(log.with_suffix(".log.1"))
            with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
                processes[service.name] = subprocess.Popen(
                    service.command,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        yield processes
    finally:
        for process in reversed(processes.values()):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _await_all(services: Sequence[Service], processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    waiting = {service.name: service.health for service in services if service.health}
    while waiting:
        _check_alive(processes)
        if time.monotonic() > deadline:
            raise ServeError(
                f"{', '.join(waiting)}: no reply after {PATIENCE_SECONDS:.0f} s; the logs are in {LOGS}/"
            )
        waiting = {name: health for name, health in waiting.items() if not _replies(str(health))}
        time.sleep(0.5)


def _replies(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=5):
            return True
    except OSError:
        return False


def _runs_table(server: str) -> str:
    """The page with the table of runs; MLflow's home page does not lead to it."""
    found = f"{server}/api/2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    try:
        with DIRECT.open(found, timeout=5) as reply:
            return runs_table(server, json.load(reply)["experiment"]["experiment_id"])
    except (OSError, ValueError, KeyError):  # nothing has run yet
        return runs_table(server, None)


def _check_alive(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if (code := process.poll()) is not None:
            lines = _log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ServeError(
                f"{name} has ended with exit code {code}, so all have; its log, {_log(name)}, ends:\n"
                + "\n".join(lines[-5:])
            )


def _log(name: str) -> Path:
    return LOGS / f"{name.lower()}.log"
