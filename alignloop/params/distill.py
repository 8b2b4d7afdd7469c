"""Parameters of `distill`: the plans by which a teacher writes sources, as stages of the pipeline."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from alignloop.params.section import Key, Section, StageName

# what stages make, from which `ingest` would depend on itself
MADE = (
    *("data/raw", "data/prompts", "data/demonstrations", "data/corpus", "data/rankings", "data/samples"),
    *("data/policy", "data/evaluation", "data/release", "data/search"),
    *("models", "plots", "metrics", "reports"),
)


def _no_output(prompts: str) -> str:
    path = PurePosixPath(prompts)
    if any(path.is_relative_to(made) for made in MADE):
        raise ValueError(
            "is made by stages that read what the teacher writes, so each would wait for the other; copy the "
            "file, such as to data/teacher-prompts.jsonl, or run the command `distill` by hand"
        )
    return prompts


class DistillStage(Section):
    """A plan of `distill`, and the prompts that it names; the stage depends on both."""

    plan: Annotated[str, Field(min_length=1)]
    prompts: Annotated[str, Field(min_length=1), AfterValidator(_no_output)]


DistillStages = dict[StageName, DistillStage]
Teachers = Annotated[dict[str, DistillStage], Key("distill")]


def out_of(name: str) -> str:
    """The source file that a plan's stage writes."""
    return f"data/sources/{name}.jsonl"
