"""Parameters of `ingest`: where the data comes from and how much of a source may be refused."""

from typing import Annotated, Literal

from pydantic import Field

from alignloop.params.section import Count, Section, Share, Whole
from alignloop.records import DomainName


class DocumentedFacts(Section):
    """Facts that only documents state: their things, and prompts, demonstrations and dialogues about them.

    Half of the things are asked for in demonstrations, the others in prompts.
    """

    things: Annotated[int, Field(ge=2)]
    prompts: Count
    demonstrations: Count
    dialogues: Whole


class World(Section):
    """Sizes of the built-in environment (alignloop/world)."""

    facts: Count
    users: Count
    prompts: Count
    demonstrations: Count
    documents: Count
    truth: Share
    demonstration_quality: Share
    documented: DocumentedFacts | None
    code: Annotated[float, Field(ge=0, lt=1)]


class Ingest(Section):
    source: Literal["world", "files", "both"]
    formats: dict[str, str]
    columns: dict[str, dict[str, str | list[str]]]
    licences: dict[str, str]
    domains: dict[str, DomainName]
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
