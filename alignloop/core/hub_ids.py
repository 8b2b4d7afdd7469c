"""Tells a checkpoint's path from an id on the Hugging Face hub, without loading anything."""


def is_local(checkpoint: str) -> bool:
    """Whether a checkpoint that does not exist can only be a path: ids on the hub are `owner/name`."""
    return checkpoint.startswith((".", "/", "models/")) or checkpoint.count("/") != 1
