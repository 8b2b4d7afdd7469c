"""The one root of all expected failures: the message says what is wrong, where, and what to do; people see it without a traceback."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # how a file begins that Git LFS has not fetched


class AlignloopError(Exception):
    """Something outside the code is wrong (data, parameters, files, servers); the message names it and the remedy."""


class Waiting(AlignloopError):
    """Nothing is wrong: people have still to do their part; the message says how much is missing and where."""
