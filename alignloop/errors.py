"""The one root of all expected failures: the message says what is wrong, where, and what to do; people see it without a traceback."""


class AlignloopError(Exception):
    """Something outside the code is wrong (data, parameters, files, servers); the message names it and the remedy."""
