"""`serve` before it starts anything: its plan, and ports that are in use."""

import socket
from pathlib import Path

import pytest

from alignloop.commands import serve
from alignloop.pipeline.checkout_lock import hold_lock_file

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


def test_prefect_gets_a_new_key_each_time_which_no_command_line_shows_and_a_given_one_is_kept() -> None:
    keys, env = set[str](), dict[str, str]()
    for _ in range(2):
        services, env = serve.plan_services(1, 2, "http://127.0.0.1:3", {})
        assert env[serve.SERVER_KEY] == env[serve.CLIENT_KEY]
        assert env[serve.SERVER_KEY].split(":", 1)[1] not in str(services)
        keys.add(env[serve.SERVER_KEY])
    assert len(keys) == 2
    assert env["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] == "http://127.0.0.1:1,http://localhost:1"
    given = {serve.SERVER_KEY: "me:fixed", serve.CLIENT_KEY: "of:another server"}
    _, env = serve.plan_services(1, 2, "http://127.0.0.1:3", given)
    assert (env[serve.SERVER_KEY], env[serve.CLIENT_KEY]) == ("me:fixed", "me:fixed")


@pytest.mark.parametrize(
    ("url", "option", "port"),
    [
        ("http://127.0.0.1:4300", None, 4300),
        ("http://127.0.0.1:4311/", None, 4311),
        ("https://labels.example", None, 4300),
        ("https://labels.example:8443/x", None, 4300),
        ("https://labels.example", 4399, 4399),
    ],
)
def test_the_labeling_pages_listen_on_loopback_beside_the_proxy_of_an_https_address(
    url: str, option: int | None, port: int
) -> None:
    services, _ = serve.plan_services(1, 2, url, {}, labels_port=option)
    labels = next(service for service in services if service.name == "labels")
    assert (labels.port, labels.health, labels.page) == (port, f"http://127.0.0.1:{port}/health", url)
    assert list(labels.command[-3:]) == ["serve", "--port", str(port)]


def test_the_file_with_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    for name in ("new", "old"):
        file = tmp_path / name
        if name == "old":
            file.write_text("")
            file.chmod(0o644)
        serve._keep_for_owner(file)
        with hold_lock_file(file, {"key": "k"}):
            assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text() == ""
