"""Effect of dead servers on a run: MLflow's dies in pretraining, Prefect's in SFT; both restart later.

python -m benchmarks.outages --seconds 60

Both servers are those of `make serve`, and are killed by SIGKILL. The whole loop (benchmarks/kill.yaml,
with more pretraining and SFT) runs once with the outages and once undisturbed, each in a clone of its own.
At the end the hash of every out, every point of every curve in MLflow, and every task on Prefect's page are
compared. Prints a report and a Markdown table; exits with 1 if anything differs.
"""

import argparse
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import yaml

from alignloop.commands.serve import MLFLOW, Service, plan_services
from alignloop.pipeline.environment import MLFLOW_DATABASE
from benchmarks.kill import Clone, digest, whole
from benchmarks.laboratory import merged
from benchmarks.worktree import PROJECT

LONGER = {"pretrain": {"epochs": 160}, "sft": {"epochs": 40}}


class Server:
    """One of the two servers, with a log of its own."""

    def __init__(self, service: Service, root: Path, env: Mapping[str, str]) -> None:
        self._service, self._root = service, root
        self._env = env

    def start(self) -> None:
        """Start the server and wait until it responds."""
        with (self._root.parent / f"{self._service.name.lower()}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._service.command,
                cwd=self._root,
                env=dict(self._env),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self._responds():
            if self._process.poll() is not None:
                raise SystemExit(f"{self._service.name} has ended: {log.name}")
            time.sleep(0.2)

    def kill(self) -> None:
        """Send SIGKILL to the server and its child processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _responds(self) -> bool:
        try:
            return httpx.get(str(self._service.health), trust_env=False).is_success
        except httpx.HTTPError:
            return False


def serve(clone: Clone) -> dict[str, Server]:
    """Make the clone's servers, on free ports, and point the clone's runs to them."""
    with ExitStack() as stack:
        prefect, mlflow, labels = (
            stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(3)
        )
    (clone.root / MLFLOW_DATABASE).parent.mkdir(exist_ok=True)
    store = {MLFLOW: f"sqlite:///{clone.root / MLFLOW_DATABASE}"}
    services, env = plan_services(prefect, mlflow, f"http://127.0.0.1:{labels}", clone.environment | store)
    clone.environment |= {name: env[name] for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}
    return {
        service.name: Server(service, clone.root, env)
        for service in services
        if service.name in ("Prefect", "MLflow")
    }


def step(clone: Clone, stage: str) -> int:
    """The last step that the stage has logged."""
    logged = re.findall(
        rf" {stage}  ([\d,]+)/[\d,]+ · (?!valid)", clone.log.read_text(encoding="utf-8", errors="replace")
    )
    return int(logged[-1].replace(",", "")) if logged else 0


def interrupt(clone: Clone, run: subprocess.Popen[bytes], server: Server, stage: str, seconds: float) -> str:
    """Kill the server during the stage and restart it; returns a report on the stage."""
    while run.poll() is None and not (clone.at_work() == stage and step(clone, stage) > 1):
        time.sleep(0.1)
    before = step(clone, stage)
    server.kill()
    time.sleep(seconds)
    after = step(clone, stage)
    server.start()
    if run.poll() is not None:
        raise SystemExit(f"the run in {clone.root} ended meanwhile: {clone.log}")
    return f"killed after step {before} of {stage}; {seconds:.0f} s later, at step {after}, started again"


def prefect_states(clone: Clone) -> list[tuple[str, str]]:
    """The state of every flow run and task run in Prefect's database."""
    with sqlite3.connect(clone.root / ".prefect" / "prefect.db") as store:
        tasks = store.execute("select name, state_name from task_run").fetchall()
        flows = store.execute(
            "select flow.name, flow_run.state_name from flow_run join flow on flow.id = flow_run.flow_id"
        ).fetchall()
    return sorted([*tasks, *flows])


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.outages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long each server is down")
    parser.add_argument(
        "--work",
        type=Path,
        help="a folder for the clones, which is kept; an undisturbed run in it is not repeated",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        configuration = work / "outages.yaml"
        kill = yaml.safe_load((PROJECT / "benchmarks" / "kill.yaml").read_text(encoding="utf-8"))
        configuration.write_text(yaml.safe_dump(merged(kill, LONGER)), encoding="utf-8")
        undisturbed, disturbed = Clone(work / "undisturbed", "flow"), Clone(work / "disturbed", "flow")
        if not (undisturbed.root / "metrics" / "release.json").exists():
            undisturbed.create(configuration)
            print(f"undisturbed: {whole(undisturbed):.0f} s", flush=True)
        disturbed.create(configuration)
        servers = serve(disturbed)
        for server in servers.values():
            server.start()
        try:
            began, run = time.monotonic(), disturbed.start()
            for name, stage in (("MLflow", "pretrain"), ("Prefect", "sft")):
                print(
                    f"{name}: {interrupt(disturbed, run, servers[name], stage, arguments.seconds)}",
                    flush=True,
                )
            status = run.wait()
            print(f"disturbed: {time.monotonic() - began:.0f} s, exit status {status}", flush=True)
        finally:
            for server in servers.values():
                server.kill()
        compared = {
            "exit status": (0, status),
            "outs": tuple(
                f"{len(clone.outs())}: {digest(clone.outs())}" for clone in (undisturbed, disturbed)
            ),
            "points in MLflow": tuple(
                f"{len(clone.points()):,}: {digest({'all': str(clone.points())})}"
                for clone in (undisturbed, disturbed)
            ),
            "runs in MLflow": tuple(
                f"{clone.query('select status, count(*) from runs group by status')}"
                for clone in (undisturbed, disturbed)
            ),
            "flows and tasks on Prefect's page": tuple(
                f"{len(prefect_states(clone))}: {digest({'all': str(prefect_states(clone))})}"
                for clone in (undisturbed, disturbed)
            ),
            "of them not Completed": tuple(
                f"{sum(state != 'Completed' for _, state in prefect_states(clone))}"
                for clone in (undisturbed, disturbed)
            ),
        }
        print("\n| | undisturbed | disturbed | |\n|---|---|---|---|")
        for what, (one, other) in compared.items():
            print(f"| {what} | {one} | {other} | {'equal' if one == other else 'DIFFERENT'} |")
        return int(any(one != other for one, other in compared.values()))


if __name__ == "__main__":
    sys.exit(main())
