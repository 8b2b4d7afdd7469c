"""The address of a server: http or https, without a password, which would end up in files and messages."""

from collections.abc import Callable
from urllib.parse import urlsplit


def address_of(key_variable: str) -> Callable[[str], str]:
    """A check of an address whose key is in the environment as `key_variable`; raises ValueError."""

    def check(url: str) -> str:
        parts = urlsplit(url)
        try:
            whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # its port is no port
            whole = False
        if not whole:
            raise ValueError("must be the address of a server, such as http://127.0.0.1:8000")
        if parts.username or parts.password:
            raise ValueError(f"must not hold a password; put the key into {key_variable} in the environment")
        if parts.query or parts.fragment:
            raise ValueError("must end with its host, port or path")
        return url.rstrip("/")

    return check
