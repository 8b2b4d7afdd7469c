"""The note on what is measured where there is too much."""


def spread_note(what: str, all: int, key: str, most: int) -> str:
    """The sentence that says that only some are measured, by which parameter; nothing where all are."""
    return f"{what} {most:,} of {all:,}, evenly spread ({key})" if all > most else ""
