"""The records of the built-in environment, with those of its documented facts where they are asked for."""

from collections.abc import Iterator
from pathlib import Path

from alignloop.params.ingest import World
from alignloop.records import Record
from alignloop.world.builder import make_world


def world_records(seed: int, sizes: World, library: Path) -> Iterator[Record]:
    """All of them, in their order; the documents to search are written into a new folder `library`."""
    world = make_world(seed, sizes)
    yield from (*world.documents, *world.prompts, *world.demonstrations)
    if sizes.documented:
        from alignloop.tools.open_book import make_open_book, write_library  # which import torch

        book = make_open_book(seed, sizes.documented, sizes.users, sizes.demonstration_quality)
        yield from (*book.dialogues, *book.prompts, *book.demonstrations)
        write_library(library, book.library)
