"""Threads for sign-ins: hashing a password takes long, and the pages must not wait for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from alignloop.labeling.sign_in_limits import TooManySignIns

T = TypeVar("T")


class SignInThreads:
    """Some threads, and how many sign-ins may wait for them."""

    def __init__(self, threads: int, most_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sign-in")
        self._most = threads + most_waiting
        self._present = 0  # changed by the event loop only

    async def run(self, work: Callable[[], T]) -> T:
        """Run work on one of the threads. Raises TooManySignIns if too many wait."""
        if self._present >= self._most:
            raise TooManySignIns("Too many are signing in at this moment. Try again in a minute.")
        self._present += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._present -= 1
