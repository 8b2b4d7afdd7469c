"""Addresses of servers in params.yaml."""

from collections.abc import Callable
from urllib.parse import urlsplit


def address_for(key: str) -> Callable[[str], str]:
    """A validator of a server's address, whose API key is in the environment as `key`."""

    def address(url: str) -> str:
        parts = urlsplit(url)
        try:
            whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # its port is no port
            whole = False
        if not whole:
            raise ValueError("must be the address of a server, such as http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise ValueError(f"must not hold a password; put the key into {key} in the environment")
        if parts.query or parts.fragment:
            raise ValueError("must end with its host, port or path")
        return url.rstrip("/")

    return address
