"""The model registry: the same bytes are one version, found by name, number, alias or hash."""

from pathlib import Path

import pytest

from alignloop import tracking
from alignloop.tracking import registry
from alignloop.tracking.registry import RegistryError, Version

ONE, TWO = "1" * 32 + ".dir", "2" * 32 + ".dir"


def make(root: Path, words: str, hash: str) -> str:
    """Write a model's bytes; return the id of the run that made them."""
    (root / "models" / "sft").mkdir(parents=True, exist_ok=True)
    (root / "models" / "sft" / "model.safetensors").write_text(words)
    with tracking.run(root, "sft") as run:
        run.finish({"models/sft": hash})
    return run.id


def register(root: Path, hash: str, run: str, description: str = "what it is") -> Version:
    parents = {"models/base": "models/base " + "0" * 32}
    tags = {"stage": "sft", "round": ""}
    return registry.register(
        root,
        "alignloop-sft",
        "models/sft",
        hash,
        run=run,
        description=description,
        parents=parents,
        tags=tags,
    )


def test_the_same_bytes_are_one_version_and_other_bytes_the_next(project: Path):
    first, second = make(project, "first", ONE), make(project, "second", TWO)
    assert [
        register(project, hash, run).version
        for hash, run in ((ONE, first), (ONE, second), (TWO, second), (ONE, first))
    ] == [
        1,
        1,
        2,
        1,
    ]
    assert [version.hash for version in registry.versions(project)] == [TWO, ONE]
    assert [version.version for version in registry.versions(project, ONE)] == [1]


def test_a_version_has_its_run_stage_path_parents_and_description(project: Path):
    run = make(project, "first", ONE)
    register(project, ONE, run)
    [version] = registry.versions(project)
    assert (version.run, version.stage, version.round, version.path, version.hash) == (
        run,
        "sft",
        None,
        "models/sft",
        ONE,
    )
    assert version.parents == {"models/base": "models/base " + "0" * 32}
    assert version.description == "what it is"


def test_the_registered_bytes_do_not_change(project: Path):
    register(project, ONE, make(project, "first", ONE))
    make(project, "second", TWO)
    source = Path(registry.find(project, "alignloop-sft").source.removeprefix("file://"))
    assert (source / "model.safetensors").read_text() == "first"


def test_a_version_is_found_by_name_number_or_alias(project: Path):
    one, two = (register(project, hash, make(project, hash, hash)) for hash in (ONE, TWO))
    registry.set_alias(project, "candidate", two)
    registry.set_alias(project, "candidate", one)
    assert registry.find(project, "alignloop-sft").version == 2
    assert registry.find(project, "alignloop-sft/1").version == 1
    assert registry.find(project, "alignloop-sft@candidate").version == 1
    assert registry.find(project, "alignloop-sft/1").label == "alignloop-sft/1 @candidate"
    assert registry.find(project, "alignloop-sft/2").label == "alignloop-sft/2", (
        "an alias moves, it does not multiply"
    )


def test_an_unknown_model_gives_a_message_with_the_registered_ones(project: Path):
    with pytest.raises(
        RegistryError, match=r"alignloop-policy: no model is registered.*dvc repro --force release"
    ):
        registry.find(project, "alignloop-policy")
    register(project, ONE, make(project, "first", ONE))
    for wanted in ("alignloop-policy", "alignloop-sft/7", "alignloop-sft@best"):
        with pytest.raises(RegistryError, match=rf"{wanted}: no such model; registered are alignloop-sft/1"):
            registry.find(project, wanted)


def test_a_too_long_description_is_shortened_with_an_ellipsis(project: Path):
    version = register(project, ONE, make(project, "first", ONE), "long " * 2000)
    assert len(version.description) == registry.MAX_CHARACTERS
    assert version.description.endswith(" …")
