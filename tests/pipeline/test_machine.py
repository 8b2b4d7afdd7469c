"""Proxies, accounts without a name, other accounts, odd paths: the run works, or one line says why not."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.pipeline.machine import MachineError, check_place, keep_stores_private, machine_settings

PROJECT = Path(__file__).parents[2]
DEAD = "http://127.0.0.1:9"
CLIENTS = """
import sys, urllib.request
from alignloop.pipeline import environment
environment.configure()
import httpx, requests
for url in sys.argv[1:]:
    print(httpx.get(url).text, requests.get(url).text, urllib.request.urlopen(url).read().decode())
"""
ACCOUNT = """
import getpass, pathlib
from alignloop.pipeline import environment
environment.configure()
print(getpass.getuser(), pathlib.Path.home())
"""


@contextmanager
def server() -> Iterator[int]:
    """A server on loopback that says hello."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving.server_port
        serving.shutdown()


def python(code: str, *arguments: str, env: Mapping[str, str], before: list[str] | None = None) -> str:
    command = [*(before or []), sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=PROJECT, env=dict(env), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "proxies",
    [
        {"http_proxy": DEAD, "HTTP_PROXY": DEAD},
        {"all_proxy": DEAD, "https_proxy": DEAD, "NO_PROXY": "example.org"},
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"all_proxy": "socks://127.0.0.1:9/"},  # as GNOME sets it
    ],
)
def test_loopback_bypasses_any_proxy_for_every_client(proxies: Mapping[str, str]) -> None:
    with server() as port:
        urls = [f"http://{host}:{port}/" for host in ("127.0.0.1", "localhost")]
        env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **proxies}
        assert python(CLIENTS, *urls, env=env).splitlines() == ["hello hello hello"] * 2


def test_hosts_that_bypass_the_proxy_already_still_do_and_the_rest_still_uses_it() -> None:
    given = {"https_proxy": "http://proxy:3128", "NO_PROXY": "example.org, 127.0.0.1"}
    assert machine_settings(PROJECT, given)["no_proxy"].split(",")[0] == "example.org"
    assert "https_proxy" not in machine_settings(PROJECT, given)
    assert machine_settings(PROJECT, {"https_proxy": "http://p", "no_proxy": "*"})["NO_PROXY"] == "*"
    assert "no_proxy" not in machine_settings(PROJECT, {"NO_PROXY": "example.org"})


@pytest.mark.parametrize("given", [{}, {"HOME": "/"}, {"HOME": ""}, {"USER": "ada", "HOME": "/nowhere"}])
def test_a_user_id_without_an_account_has_a_name_and_a_home(given: Mapping[str, str]) -> None:
    stranger = ["unshare", "--map-user=54321", "--"]
    if subprocess.run([*stranger, "true"], capture_output=True).returncode:
        pytest.skip("no user name spaces here")
    name, home = python(ACCOUNT, env={"PATH": os.environ["PATH"], **given}, before=stranger).split(" ", 1)
    assert name == given.get("USER", "uid-54321")
    assert home == (given.get("HOME") or f"{PROJECT}/.cache/home")


@pytest.mark.parametrize("name", ["what?x=1", "two\nlines"])
def test_a_path_that_addresses_of_databases_cannot_hold_is_refused_in_one_line(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    for module in (["alignloop", "status"], ["flows.pipeline"]):
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=tmp_path / name,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert "rename that folder" in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2  # one message, which a console may wrap
    assert [each.name for each in tmp_path.iterdir()] == [name]  # and nothing was made beside it


@pytest.mark.parametrize("name", ["Jürgens Ordner", "50% off", "[a]{b}(c)", "it's #1 & co; $HOME", "日本語"])
def test_other_paths_hold_the_stores(tmp_path: Path, name: str) -> None:
    from alignloop import tracking

    root = tmp_path / name
    root.mkdir()
    check_place(root)
    LabelingDatabase(database_url(root)).close()
    tracking.create_store(root / "mlruns" / "mlflow.db")
    assert tracking.client(f"sqlite:///{root}/mlruns/mlflow.db").search_experiments()
    assert sorted(each.name for each in tmp_path.iterdir()) == [name]
    assert {each.name for each in root.iterdir()} == {"mlruns", "people"}


def test_check_place_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"what\?"):
        check_place(tmp_path / "what?")


def test_stores_are_closed_to_other_accounts_and_those_shared_on_purpose_are_not(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        LabelingDatabase(database_url(tmp_path)).close()
        (tmp_path / "mlruns").mkdir()
        (tmp_path / ".cache").mkdir()
    finally:
        os.umask(before)
    (tmp_path / ".cache").chmod(0o2770)
    assert mode(tmp_path / "people") == 0o700  # from its first moment
    keep_stores_private(tmp_path)
    assert [mode(tmp_path / name) for name in ("people", "mlruns", ".cache")] == [0o700, 0o700, 0o2770]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
