"""Base classes of expected failures; people see their message (place, fault, remedy) without a traceback."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # the start of a file that Git LFS has not fetched


class AlignloopError(Exception):
    """A fault outside the code: in data, parameters, files or servers. The message has place and remedy."""


class Waiting(AlignloopError):
    """No fault: people have work to do first; the message says how much is missing and where."""
