"""How uvicorn serves the pages: the labeling pages, and the chat page with its API."""

from typing import Any

SERVER_OPTIONS: dict[str, Any] = {
    "log_level": "warning",
    "timeout_keep_alive": 75,  # seconds that an idle connection of a browser stays open
    "server_header": False,
    "proxy_headers": True,  # of a proxy on this machine, or in FORWARDED_ALLOW_IPS
    "access_log": False,
    "ws": "none",
    "lifespan": "off",
}
