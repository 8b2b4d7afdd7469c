"""Limits of tasks' tags (`prefect concurrency-limit create train 1`): asked for once a run, before its first task.

Prefect asks before each task with tags, and keeps for five seconds that there are none. Its server on SQLite, which just then writes down
the task before, refuses the first question, and is asked again after two seconds.
"""

import sys

from prefect import Task, get_client
from prefect.concurrency import services

SECONDS = 3600.0  # for which it holds that tags have no limits; then Prefect asks itself
MOST = 200  # limits that the server tells at a time

services._no_limits_cache = type(services._no_limits_cache)(maxsize=1000, ttl=SECONDS)


def look_up_limits() -> None:
    """Tell Prefect which tasks of ours have no tag with a limit; for the others it asks before each of their runs."""
    with get_client(sync_client=True) as client:
        found = client.read_concurrency_limits(limit=MOST, offset=0)
    limited = {limit.tag for limit in found}
    services._no_limits_cache.clear()
    for tags in _tags_of_tasks() if len(found) < MOST else ():
        if not tags & limited:
            services._no_limits_cache[frozenset(f"tag:{tag}" for tag in tags)] = True


def _tags_of_tasks() -> set[frozenset[str]]:
    ours = [
        module for name, module in list(sys.modules.items()) if name.startswith("tasks.")
    ]  # a list: another thread may import
    return {
        frozenset(each.tags)
        for module in ours
        for each in vars(module).values()
        if isinstance(each, Task) and each.tags
    }
