"""`serve` before it starts anything: its plan, and ports that are in use."""

import socket
from pathlib import Path

import pytest

from alignloop.commands import serve

PROJECT = Path(__file__).parents[2]


def test_a_port_in_use_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(serve.ServeError, match=f"Prefect: port {port} cannot be used"):
            serve.command(["--prefect-port", str(port)])


def test_a_password_stays_in_the_environment() -> None:
    environ = {serve.PREFECT: "postgresql://a:secret@db/p", serve.MLFLOW: "postgres://a:secret@db/m"}
    services, env = serve.plan_services(1, 2, "http://127.0.0.1:3", environ)
    assert (env[serve.PREFECT], env[serve.MLFLOW]) == (
        "postgresql+asyncpg://a:secret@db/p",
        "postgresql+psycopg://a:secret@db/m",
    )
    assert "secret" not in str(services)
    assert env["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:2"


def test_an_external_mlflow_server_is_used_and_none_is_started() -> None:
    services, env = serve.plan_services(
        1, 2, "http://127.0.0.1:3", {"MLFLOW_TRACKING_URI": "https://mlflow.example"}
    )
    assert [service.name for service in services] == ["Prefect", "labels", "worker"]
    assert env["MLFLOW_TRACKING_URI"] == "https://mlflow.example"
