"""What a machine imposes or lacks: proxies, accounts without a name or a home, other accounts, odd paths."""

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from alignloop.errors import AlignloopError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where getpass looks before it asks for the account
STORES = ("people", "mlruns", ".prefect", ".cache")  # passwords' hashes, prompts and responses are in them


class MachineError(AlignloopError):
    """The project cannot run in this place; the message says why and what to do."""


def check_place(root: Path) -> None:
    """Refuse a folder that the addresses of SQLite files cannot name: the stores would be made beside it."""
    if "?" in str(root) or "\n" in str(root):
        raise MachineError(
            f"{str(root)!r}: the path has a question mark or a line break, which ends a path in the "
            "addresses of databases; rename that folder and run again"
        )


def keep_stores_private(root: Path) -> None:
    """Close the folders of the stores to other accounts, unless one is shared on purpose: `chmod g+s`."""
    for folder in (root / name for name in STORES):
        if not folder.is_dir() or folder.stat().st_uid != os.getuid():
            continue
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077 and not mode & stat.S_ISGID:
            folder.chmod(mode & 0o700)


def machine_settings(root: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables to set or change, so that programs run on this machine as on any other."""
    return {**_proxy_settings(environ), **_account_settings(root, environ)}


def _proxy_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Where a proxy is set, loopback bypasses it: Prefect's temporary server, MLflow, a local judge."""
    proxies = {name: url for name, url in environ.items() if name.lower() in PROXIES and url}
    if not proxies:
        return {}
    bypassed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host for host in bypassed.split(",") if host.strip()]
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    # GNOME writes socks://, which httpx does not know
    renamed = {
        name: url.replace("socks://", "socks5://", 1)
        for name, url in proxies.items()
        if url.startswith("socks://")
    }
    return {**renamed, "no_proxy": ",".join(hosts), "NO_PROXY": ",".join(hosts)}


def _account_settings(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """A name and a home for a user id without an account, as containers have it."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        settings = {} if any(environ.get(name) for name in NAMES) else {"USER": f"uid-{os.getuid()}"}
        return settings if environ.get("HOME") else {**settings, "HOME": f"{root}/.cache/home"}
    return {}
