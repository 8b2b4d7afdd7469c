"""MLflow's model registry: which bytes are a released model, under which name, version and alias, and what they came from.

A version is found by the DVC hash in its tags; registering the same bytes twice gives the same version. Its source is a copy of the
bytes in the artifacts of the run that made them, so a server that knows nothing of this project's disk can hand them out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.pipeline import dvc_pipeline
from alignloop.tracking import client, key_of, reached, store

LONGEST = 5000  # characters of a description that every database behind MLflow keeps


class RegistryError(AlignloopError):
    """The registry has no such model; the message says which it has."""


@dataclass(frozen=True)
class Version:
    """One registered version: bytes with a hash, the run that made them, and its parents by path: `alignloop-sft/1 1f3a….dir`."""

    name: str
    version: int
    hash: str
    path: str
    stage: str
    round: str | None
    run: str | None
    commit: str
    parents: Mapping[str, str]
    aliases: tuple[str, ...]
    description: str
    source: str
    tags: Mapping[str, str]

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Users that it learned from and whose data is gone, as data/forgotten.txt marks them."""
        return tuple(key.removeprefix("forgotten:") for key in self.tags if key.startswith("forgotten:"))

    @property
    def label(self) -> str:
        """`alignloop-policy/3`, with its aliases behind, and whether it learned from users who are forgotten."""
        learned = f" (learned from {len(self.forgotten)} forgotten)" if self.forgotten else ""
        return f"{self.name}/{self.version}" + "".join(f" @{alias}" for alias in self.aliases) + learned


def versions(root: Path, hash: str | None = None) -> list[Version]:
    """Every registered version, newest first; only those of these bytes if a hash is given."""
    uri, found, token = store(root), [], None
    query = f"tag.`dvc` = '{hash}'" if hash else None
    with reached(uri):
        while True:
            page = client(uri).search_model_versions(
                query, order_by=["creation_timestamp DESC"], page_token=token
            )
            found += [_read(version) for version in page if "dvc" in version.tags]
            token = page.token
            if not token:
                break
        held = {
            name: client(uri).get_registered_model(name).aliases
            for name in {version.name for version in found}
        }
    return [
        replace(
            version,
            aliases=tuple(
                sorted(
                    alias for alias, number in held[version.name].items() if int(number) == version.version
                )
            ),
        )
        for version in found
    ]


def find(root: Path, wanted: str) -> Version:
    """The version that `NAME`, `NAME@alias` or `NAME/version` means; NAME alone is its newest."""
    known = versions(root)
    name, _, alias = wanted.partition("@")
    name, _, number = name.partition("/")
    for version in known:
        if (
            version.name == name
            and (not alias or alias in version.aliases)
            and (not number or number == str(version.version))
        ):
            return version
    if not known:
        raise RegistryError(
            f"{wanted}: no model is registered in {store(root)}; the `release` stage registers (`dvc repro --force release`)"
        )
    raise RegistryError(
        f"{wanted}: no such model; registered are {', '.join(version.label for version in known[:20])}"
    )


def register(
    root: Path,
    name: str,
    path: str,
    hash: str,
    run: str,
    description: str,
    parents: Mapping[str, str],
    tags: Mapping[str, str],
) -> Version:
    """The version of `name` that holds the bytes of `path`; a new one only if these bytes have none. `run` keeps the copy."""
    if same := [version for version in versions(root, hash) if version.name == name]:
        return same[0]
    uri = store(root)
    with reached(uri):
        try:
            client(uri).create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        client(uri).log_artifacts(run, str(root / path), "model")
        marks = {
            "dvc": hash,
            "path": path,
            **tags,
            **{key_of(f"parent:{parent}"): what for parent, what in parents.items()},
        }
        source = f"{client(uri).get_run(run).info.artifact_uri}/model"
        return _read(
            client(uri).create_model_version(name, source, run, tags=marks, description=_cut(description))
        )


def describe(root: Path, version: Version, tags: Mapping[str, str], description: str | None = None) -> None:
    """Put tags on a version, and a new description if one is given."""
    uri = store(root)
    with reached(uri):
        for key, value in tags.items():
            client(uri).set_model_version_tag(
                version.name, str(version.version), key_of(key), value[:LONGEST]
            )
        if description is not None:
            client(uri).update_model_version(version.name, str(version.version), _cut(description))


def point(root: Path, alias: str, version: Version) -> None:
    """Let `alias` mean this version from now on."""
    uri = store(root)
    with reached(uri):
        client(uri).set_registered_model_alias(version.name, alias, str(version.version))


def unpoint(root: Path, alias: str, name: str) -> None:
    """Let `alias` mean nothing from now on."""
    uri = store(root)
    with reached(uri):
        client(uri).delete_registered_model_alias(name, alias)


def mark(root: Path, name: str, key: str, value: str) -> None:
    """Keep a value with a model, over all its versions."""
    uri = store(root)
    with reached(uri):
        client(uri).set_registered_model_tag(name, key, value)


def marked(root: Path, name: str, key: str) -> str | None:
    """The value kept with a model; None where there is none, or no such model."""
    uri = store(root)
    with reached(uri):
        try:
            return client(uri).get_registered_model(name).tags.get(key)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def fetch(root: Path, version: Version, place: Path) -> None:
    """Put the version's bytes into `place`, from the registry's own copy. Raises RegistryError unless they are what was registered."""
    uri = store(root)
    with replacing(place) as part, TemporaryDirectory(dir=place.parent) as folder:
        with reached(uri):
            copy = Path(client(uri).download_artifacts(version.run or "", "model", folder))
        if (
            found := dvc_pipeline.hash_of(copy, root)
        ) != version.hash:  # before it is a *.part, which DVC does not see
            raise RegistryError(
                f"{version.label}: the registry's copy has the hash {found}, registered was {version.hash}; it was changed"
            )
        copy.rename(part)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + " …"


def tag(root: Path, version: Version, key: str, value: str) -> None:
    """Tag a version."""
    uri = store(root)
    with reached(uri):
        client(uri).set_model_version_tag(version.name, str(version.version), key_of(key), value)


def _read(version: ModelVersion) -> Version:
    tags = version.tags
    return Version(
        name=version.name,
        version=int(version.version),
        hash=tags["dvc"],
        path=tags.get("path", ""),
        stage=tags.get("stage", ""),
        round=tags.get("round") or None,
        run=version.run_id or None,
        commit=tags.get("commit", ""),
        parents={
            key.removeprefix("parent:"): value for key, value in tags.items() if key.startswith("parent:")
        },
        aliases=tuple(version.aliases or ()),  # a search leaves them out
        description=version.description or "",
        source=version.source or "",
        tags=tags,
    )
