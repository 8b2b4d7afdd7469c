"""Parameters of `ingest`: where the data comes from and how much of a source may be refused."""

from typing import Literal

from alignloop.params.section import Count, Section, Share


class World(Section):
    """Sizes of the built-in environment (alignloop/world)."""

    facts: Count
    users: Count
    prompts: Count
    demonstrations: Count
    documents: Count
    truth: Share
    demonstration_quality: Share


class Ingest(Section):
    source: Literal["world", "files", "both"]
    formats: dict[str, str]
    columns: dict[str, dict[str, str | list[str]]]
    licences: dict[str, str]
    max_refused: Share
    world: World

    @property
    def makes_world(self) -> bool:
        """Whether the built-in environment is a source."""
        return self.source != "files"

    @property
    def reads_files(self) -> bool:
        """Whether the files in data/sources are."""
        return self.source != "world"
