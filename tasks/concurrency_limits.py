"""Look up the concurrency limits of the tasks' tags once a run (`prefect concurrency-limit create train 1`).

Prefect asks its server before each task with tags, and caches "no limits" for five seconds only. A server
on SQLite is just then writing the end of the task before; it rejects the first request, which is repeated
after two seconds.
"""

import sys

from prefect import Task, get_client
from prefect.concurrency import services

CACHE_SECONDS = 3600.0  # then Prefect asks again
MAX_LIMITS = 200  # the server returns at most so many at a time

services._no_limits_cache = type(services._no_limits_cache)(maxsize=1000, ttl=CACHE_SECONDS)


def look_up_limits() -> None:
    """Cache which tasks have no tag with a limit; Prefect asks its server before each of the others."""
    with get_client(sync_client=True) as client:
        limits = client.read_concurrency_limits(limit=MAX_LIMITS, offset=0)
    limited = {limit.tag for limit in limits}
    services._no_limits_cache.clear()
    for tags in _tags_of_tasks() if len(limits) < MAX_LIMITS else ():
        if not tags & limited:
            services._no_limits_cache[frozenset(f"tag:{tag}" for tag in tags)] = True


def _tags_of_tasks() -> set[frozenset[str]]:
    modules = list(sys.modules.items())  # a copy: another thread may import
    return {
        frozenset(value.tags)
        for name, module in modules
        if name.startswith("tasks.")
        for value in vars(module).values()
        if isinstance(value, Task) and value.tags
    }
