"""What a run loses when its servers die: MLflow's in the middle of pretraining, Prefect's in the middle of SFT, each started again later.

    python -m benchmarks.outages --seconds 60

Both servers are those of `make serve`, and end by SIGKILL. The whole loop (benchmarks/kill.yaml, with more pretraining and SFT) runs once
on them and once undisturbed, each in a clone of its own. In the end the hash of every out, every point of every curve in MLflow, and every
task on Prefect's page are compared. Prints what happened and a Markdown table; 1 if anything differs.
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
    """One of the two, with a log of its own."""

    def __init__(self, service: Service, root: Path, env: Mapping[str, str]) -> None:
        self._service, self._root, self._env = service, root, env

    def start(self) -> None:
        """Start it, again or for the first time, and wait until it answers."""
        with (self._root.parent / f"{self._service.name.lower()}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._service.command,
                cwd=self._root,
                env=dict(self._env),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not self._answers():
            if self._process.poll() is not None:
                raise SystemExit(f"{self._service.name} has ended: {log.name}")
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to it and all it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(str(self._service.health), trust_env=False).is_success
        except httpx.HTTPError:
            return False


def serve(clone: Clone) -> dict[str, Server]:
    """Prefect's server and MLflow's, on ports of their own, for the clone's runs from now on."""
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
    """The step that the stage has told of last."""
    told = re.findall(
        rf"- {stage}  ([\d,]+)/[\d,]+ · (?!valid)", clone.log.read_text(encoding="utf-8", errors="replace")
    )
    return int(told[-1].replace(",", "")) if told else 0


def away(clone: Clone, run: subprocess.Popen[bytes], server: Server, stage: str, seconds: float) -> str:
    """Kill the server when the stage is in its middle, start it again, and say what the stage did meanwhile."""
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


def page(clone: Clone) -> list[tuple[str, str]]:
    """The state of every flow run and task run that Prefect has written down."""
    with sqlite3.connect(clone.root / ".prefect" / "prefect.db") as store:
        tasks = store.execute("select name, state_name from task_run").fetchall()
        flows = store.execute(
            "select flow.name, flow_run.state_name from flow_run join flow on flow.id = flow_run.flow_id"
        ).fetchall()
    return sorted([*tasks, *flows])


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.outages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long each server is away")
    parser.add_argument(
        "--work",
        type=Path,
        help="a folder for the clones, kept; an undisturbed run that is there is not run again",
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (asked.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        configuration = work / "outages.yaml"
        kill = yaml.safe_load((PROJECT / "benchmarks" / "kill.yaml").read_text(encoding="utf-8"))
        configuration.write_text(yaml.safe_dump(merged(kill, LONGER)), encoding="utf-8")
        left, hurt = Clone(work / "left", "flow"), Clone(work / "hurt", "flow")
        if not (left.root / "metrics" / "release.json").exists():
            left.lay_out(configuration)
            print(f"undisturbed: {whole(left):.0f} s", flush=True)
        hurt.lay_out(configuration)
        servers = serve(hurt)
        for server in servers.values():
            server.start()
        try:
            began, run = time.monotonic(), hurt.start()
            for name, stage in (("MLflow", "pretrain"), ("Prefect", "sft")):
                print(f"{name}: {away(hurt, run, servers[name], stage, asked.seconds)}", flush=True)
            status = run.wait()
            print(f"disturbed: {time.monotonic() - began:.0f} s, exit status {status}", flush=True)
        finally:
            for server in servers.values():
                server.kill()
        found = {
            "exit status": (0, status),
            "outs": tuple(f"{len(clone.outs())}: {digest(clone.outs())}" for clone in (left, hurt)),
            "points in MLflow": tuple(
                f"{len(clone.points()):,}: {digest({'all': str(clone.points())})}" for clone in (left, hurt)
            ),
            "runs in MLflow": tuple(
                f"{clone.asked('select status, count(*) from runs group by status')}"
                for clone in (left, hurt)
            ),
            "flows and tasks on Prefect's page": tuple(
                f"{len(page(clone))}: {digest({'all': str(page(clone))})}" for clone in (left, hurt)
            ),
            "of them not Completed": tuple(
                f"{sum(state != 'Completed' for _, state in page(clone))}" for clone in (left, hurt)
            ),
        }
        print("\n| | undisturbed | disturbed | |\n|---|---|---|---|")
        for what, (one, other) in found.items():
            print(f"| {what} | {one} | {other} | {'equal' if one == other else 'DIFFERENT'} |")
        return int(any(one != other for one, other in found.values()))


if __name__ == "__main__":
    sys.exit(main())
