"""Which requests are of this machine."""

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request


def is_local(request: Request) -> bool:
    """Whether a request is of this machine, to one of its addresses.

    Behind a proxy `serving.url` is another address, so that nothing from outside counts as of this machine.
    """
    url = request.app.state.serving.url
    places = (request.client.host if request.client else "", urlsplit(url).hostname or "")
    return all(map(_is_loopback, places))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
