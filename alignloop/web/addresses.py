"""Where the labeling and chat pages listen, and by which address people reach them."""

from urllib.parse import urlsplit

PROXIED_PORT, PROXIED_CHAT_PORT = 4300, 4400


def listening_port(url: str, proxied: int = PROXIED_PORT) -> int:
    """The port that the pages listen on if none is named.

    A proxy holds the port of an https address, so the pages behind it listen on a port of their own.
    """
    address = urlsplit(url)
    if address.scheme == "https":
        return proxied
    return address.port or 80
