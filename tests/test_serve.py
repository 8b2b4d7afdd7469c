"""`python -m alignloop serve` as an operator meets it: runs of deployments that wait, are cancelled, fail
aloud and are recorded.
"""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alignloop import tracking
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.labeling.feedback_schema import ServedOpinion
from alignloop.pipeline import environment
from alignloop.pipeline.checkout_lock import PipelineBusyError, lock_checkout
from alignloop.pipeline.overrides import override
from benchmarks import worktree

DATA = ("ingest", "validate_raw", "prepare", "validate_sets")


def git(root: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lay_out(root: Path) -> None:
    """A checkout with the project's own code, a remote for its bytes, and a pipeline of shell commands in
    place of the stages.
    """
    worktree.copy(
        root, "alignloop/", "flows/", "tasks/", "configs/", ".git", ".dvc", "params.yaml", "prefect.yaml"
    )
    (root / ".dvc" / "config").write_text(
        f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {root.parent / 'remote'}\n"
    )
    (root / "source.txt").write_text("bytes\n")
    stages = {
        name: {"cmd": f"cp {before} {name}.txt", "deps": [before], "outs": [f"{name}.txt"]}
        for before, name in zip(("source.txt", *(f"{name}.txt" for name in DATA)), DATA, strict=False)
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    override(root / "params.yaml", changes={"people.url": f"http://127.0.0.1:{free_port()}"})
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        git(root, *words)


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, list[str]]]:
    """A receiver of webhooks: its address, and what it was told."""
    said: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", said
        server.shutdown()


class Served:
    """A checkout that is served, and what one does on Prefect's page, by its API."""

    def __init__(self, root: Path, process: subprocess.Popen[str], api: str) -> None:
        self.root, self.process = root, process
        self.key = environment.read_lock_file(root / environment.SERVING)["PREFECT_API_AUTH_STRING"]
        auth = httpx.BasicAuth(*self.key.split(":", 1))
        self.api = httpx.Client(base_url=api, auth=auth, timeout=60, trust_env=False)

    def asked(self, method: str, path: str, **body: Any) -> Any:
        """What the API answers; a busy database is tried again, as Prefect's own clients do."""
        answer = wait(
            lambda: (found := self.api.request(method, path, **body)).status_code != 503 and found, 60
        )
        return answer.raise_for_status().json()

    def start(self, deployment: str, flow: str = "alignloop", **parameters: Any) -> str:
        id = self.asked("GET", f"deployments/name/{flow}/{deployment}")["id"]
        return self.asked(
            "POST",
            f"deployments/{id}/create_flow_run",
            json={"parameters": parameters, "state": {"type": "SCHEDULED"}},
        )["id"]

    def state(self, run: str) -> tuple[str, str]:
        state = self.asked("GET", f"flow_runs/{run}")["state"]
        return state["name"], state["message"] or ""

    def ended(self, run: str) -> tuple[str, str]:
        wait(lambda: self.state(run)[0] in ("Completed", "Failed", "Cancelled", "Crashed"))
        return self.state(run)

    def ingest_by(self, command: str) -> None:
        stages = yaml.safe_load((self.root / "dvc.yaml").read_text())
        stages["stages"]["ingest"]["cmd"] = command
        (self.root / "dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))
        git(self.root, "commit", "-qam", command)


def wait(until: Callable[[], Any], seconds: float = 400) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := until()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


def at_root(root: Path) -> set[int]:
    """The processes that work in the checkout."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.resolve() == root:
                found.add(int(place.parent.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, told: tuple[str, list[str]]) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("serve") / "checkout"
    root.mkdir()
    lay_out(root)
    env = worktree.surroundings() | {"ALIGNLOOP_WEBHOOK": told[0], "PREFECT_WORKER_QUERY_SECONDS": "1"}
    ports = ["--prefect-port", str(free_port()), "--mlflow-port", str(free_port())]
    command = [sys.executable, "-m", "alignloop", "serve", *ports]
    with subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("Prefect  http://127.0.0.1:"), [
                file.read_text()[-3000:] for file in (root / ".cache").glob("*.log")
            ]
            experiments = (
                f"MLflow   http://127.0.0.1:{ports[3]}/#/experiments?workflowType=machine_learning\n"
            )
            assert process.stdout.readline() == experiments, "nothing has run here"
            printed = [process.stdout.readline() for _ in range(3)]
            link = printed[-1]
            assert re.match(
                r"labels: no administrator yet; sign in at http://127.0.0.1:\d+/invitation/", link
            ), printed
            secret = link.strip().rsplit("/", 1)[1]
            assert not any(secret in file.read_text() for file in (root / ".cache").glob("*.log"))
            page = link[link.index("http") :].strip()
            assert "labeler-admin" in httpx.get(page, trust_env=False).text
            wait(lambda: "is ready" in (root / ".cache" / "worker.log").read_text())
            serving = Served(root, process, f"{line.split()[1]}/api/")
            with serving.api:
                yield serving
        finally:
            deaf = (
                signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            )  # so it is with all that a background job starts
            process.send_signal(signal.SIGTERM if deaf else signal.SIGINT)
    assert process.returncode == 0
    assert at_root(root) == set()


def test_runs_take_turns_can_be_cancelled_fail_aloud_and_end_recorded(
    served: Served, told: tuple[str, list[str]]
) -> None:
    root = served.root
    idle = at_root(root)
    assert environment.read_lock_file(root / environment.SERVING)["PREFECT_API_URL"].startswith(
        str(served.api.base_url).rstrip("/")
    )
    schedules = [
        each for one in served.asked("POST", "deployments/filter", json={}) for each in one["schedules"]
    ]
    assert [each["active"] for each in schedules] == [False] * 4
    assert sorted(each["parameters"].get("commit", False) for each in schedules) == [False, True, True, True]
    form = served.asked("GET", "deployments/name/alignloop/loop")
    assert form["parameters"] == {}, "a run started on the page does what `make run` does"
    fields = form["parameter_openapi_schema"]["properties"]
    assert all(field["description"] for field in fields.values())
    assert fields["commit"]["default"] is False

    # 1. A run that is under way; the next one waits its turn, and one begun by hand is refused.
    served.ingest_by("echo $$ > pid; sleep 900; touch ingest.txt")
    long = served.start("data")
    pid = wait(lambda: (root / "pid").exists() and (root / "pid").read_text().strip())
    broken = served.start("data", data_only=True)
    with pytest.raises(
        PipelineBusyError, match=r"flow run data · seed 1 · [0-9a-f]{7} .* is at work on this checkout"
    ):
        lock_checkout(root, "by hand").__enter__()
    assert served.state(broken)[0] in ("Scheduled", "Late", "AwaitingConcurrencySlot")

    # 2. Cancelled as by the page: nothing of it is left, and the next one begins. It fails, and says so.
    (root / "pid").unlink()
    served.ingest_by("echo 'ingest: no \"sources\" here' >&2; exit 1")
    served.asked("POST", f"flow_runs/{long}/set_state", json={"state": {"type": "CANCELLING"}})
    assert served.ended(long)[0] == "Cancelled"
    assert not Path("/proc", pid).exists()
    name, message = served.ended(broken)
    assert (name, message.split("StageFailed: ")[1]) == ("Failed", 'ingest: no "sources" here')
    [heard] = wait(lambda: told[1])
    assert re.search(
        r'run data · seed 1 · [0-9a-f]{7} Failed\. .*ingest: no "sources" here http://127\.0\.0\.1:\d+/runs/flow-run/',
        heard,
    )

    # 3. One that succeeds is recorded: bytes at the remote first, then a commit on its branch that names
    # them.
    served.ingest_by("cp source.txt ingest.txt")
    assert served.ended(served.start("data", commit=True))[0] == "Completed"
    subject = git(root, "log", "-1", "--format=%s", "runs").strip()
    assert subject == "data: 0 prompts, 0 demonstrations, 0 documents"
    md5 = yaml.safe_load(git(root, "show", "runs:dvc.lock"))["stages"]["prepare"]["outs"][0]["md5"]
    assert (root.parent / "remote" / "files" / "md5" / md5[:2] / md5[2:]).exists()
    wait(lambda: at_root(root) == idle, 30)


def test_an_alarm_is_told_while_a_run_is_at_work(served: Served, told: tuple[str, list[str]]) -> None:
    root = served.root
    store = tracking.client(tracking.store_uri(root))
    store.create_registered_model("alignloop-policy")
    for number, alias in ((1, "previous"), (2, "champion")):
        tags, place = {"dvc": f"{number}.dir"}, (root / f"m-{number}").as_uri()
        store.create_model_version("alignloop-policy", place, tags=tags)
        store.set_registered_model_alias("alignloop-policy", alias, str(number))
    about: dict[str, Any] = {"kind": "thumb", "other": "", "asked": "alignloop-policy@champion", "time": 0.0}
    database = LabelingDatabase(database_url(root))
    with database.writing() as session:
        for number, downs in ((1, 5), (2, 45)):
            model = f"alignloop-policy/{number}"
            for place in range(50):
                session.add(ServedOpinion(model=model, value=float(place >= downs), is_first=True, **about))
    database.close()
    served.ingest_by("sleep 900")
    long = served.start("data")
    wait(lambda: served.state(long)[0] == "Running")
    for _ in range(2):  # the second one has nothing new to tell
        assert served.ended(served.start("thumbs-down", flow="alignloop-watch"))[0] == "Completed"
    [heard] = wait(lambda: [each for each in told[1] if "ALARM" in each])
    assert heard.startswith("Alignloop: ALARM: alignloop-policy/2 @champion gets more thumbs down")
    assert "python -m alignloop rollback" in heard
    assert served.state(long)[0] == "Running"
    served.asked("POST", f"flow_runs/{long}/set_state", json={"state": {"type": "CANCELLING"}})
    assert served.ended(long)[0] == "Cancelled"


def test_nobody_without_the_key_reaches_prefects_api(served: Served) -> None:
    """As a web page, by a name that leads to loopback, and as another account would try it."""
    api = str(served.api.base_url)
    deployment = served.asked("GET", "deployments/name/alignloop/data")["id"]
    run = {"state": {"type": "SCHEDULED"}, "job_variables": {"command": "touch started"}}
    headers = {"Origin": "http://evil.example", "Host": "evil.example:4200", "Content-Type": "text/plain"}
    for sent in ({}, headers, {"Authorization": "Basic b3BlcmF0b3I6"}):
        for path, body in (
            ("deployments/filter", {}),
            (f"deployments/{deployment}/create_flow_run", run),
            ("block_documents/filter", {"include_secrets": True}),
        ):
            answer = httpx.post(f"{api}{path}", content=json.dumps(body), headers=sent, trust_env=False)
            assert answer.status_code == 401, path
            assert "access-control-allow-origin" not in answer.headers
    headers |= {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = httpx.options(f"{api}deployments/filter", headers=headers, trust_env=False)
    assert "access-control-allow-origin" not in preflight.headers
    assert (served.root / environment.SERVING).stat().st_mode & 0o777 == 0o600
    secret = served.key.split(":", 1)[1]
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert secret.encode() not in place.read_bytes()
    assert all(secret not in log.read_text() for log in (served.root / ".cache").glob("*.log"))
    assert not (served.root / "started").exists()


def test_status_asks_the_served_prefect(served: Served) -> None:
    env = {name: value for name, value in worktree.surroundings().items() if not name.startswith("PREFECT")}
    command = [sys.executable, "-m", "alignloop", "status"]
    said = subprocess.check_output(command, cwd=served.root, env=env, text=True)
    assert "\nnext        nothing is scheduled" in said
