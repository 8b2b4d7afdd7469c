"""MLflow's model registry: released models with their versions, aliases, DVC hashes and parent models.

A version is found by the DVC hash in its tags; registering the same bytes twice gives the same version. Its
source is a logged model of the experiment with a copy of the bytes, so a server without access to this
project's disk can serve them. A language model's copy has the files beside it that MLflow loads it by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion as MlflowVersion
from mlflow.exceptions import MlflowException

from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.pipeline import dvc_pipeline
from alignloop.tracking import client, store_errors, store_uri, valid_key
from alignloop.tracking.mlflow_model import remove_model_files, write_model_files

MAX_CHARACTERS = 5000  # of a description or a tag, in every database that MLflow supports


class RegistryError(AlignloopError):
    """The registry has no such model, or its copy was changed; the message has what it has instead."""


@dataclass(frozen=True)
class Version:
    """A registered version: the DVC hash of its bytes, the run that made them, and its parents.

    `parents` maps a path to a registered version and its hash: `alignloop-sft/1 1f3a….dir`.
    """

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
    def forgotten_users(self) -> tuple[str, ...]:
        """The users it was trained on whose data was removed, by their marks in data/forgotten.txt."""
        return tuple(key.removeprefix("forgotten:") for key in self.tags if key.startswith("forgotten:"))

    @property
    def label(self) -> str:
        """Name, version and aliases (`alignloop-policy/3 @champion`), and how many forgotten users it saw."""
        aliases = "".join(f" @{alias}" for alias in self.aliases)
        count = len(self.forgotten_users)
        return f"{self.name}/{self.version}{aliases}" + (
            f" (learned from {count} forgotten)" if count else ""
        )


def versions(root: Path, hash: str | None = None) -> list[Version]:
    """Return every registered version, newest first; with `hash`, only those of these bytes."""
    uri = store_uri(root)
    matches: list[Version] = []
    token: str | None = None
    query = f"tag.`dvc` = '{hash}'" if hash else None
    with store_errors(uri):
        while True:
            page = client(uri).search_model_versions(
                query, order_by=["creation_timestamp DESC"], page_token=token
            )
            matches += [_read(version) for version in page if "dvc" in version.tags]
            token = page.token
            if not token:
                break
        aliases = {
            name: client(uri).get_registered_model(name).aliases
            for name in {version.name for version in matches}
        }

    def aliases_of(version: Version) -> tuple[str, ...]:
        numbers = aliases[version.name].items()
        return tuple(sorted(alias for alias, number in numbers if int(number) == version.version))

    return [replace(version, aliases=aliases_of(version)) for version in matches]


def find(root: Path, wanted: str) -> Version:
    """Return the version named `NAME`, `NAME@alias` or `NAME/version`; NAME alone is its newest."""
    registered = versions(root)
    name, _, alias = wanted.partition("@")
    name, _, number = name.partition("/")
    for version in registered:
        if (
            version.name == name
            and (not alias or alias in version.aliases)
            and (not number or number == str(version.version))
        ):
            return version
    if not registered:
        raise RegistryError(
            f"{wanted}: no model is registered in {store_uri(root)}; "
            "the `release` stage registers models (`dvc repro --force release`)"
        )
    labels = ", ".join(version.label for version in registered[:20])
    raise RegistryError(f"{wanted}: no such model; registered are {labels}")


def register(
    root: Path,
    name: str,
    path: str,
    hash: str,
    *,
    run: str,
    description: str,
    parents: Mapping[str, str],
    tags: Mapping[str, str],
    generation: Mapping[str, Any] | None = None,
) -> Version:
    """Register the bytes of `path` as a version of `name`; if they have a version already, return that one.

    `run` made them. With `generation`, the options of its generation, it is a language model that MLflow can
    load.
    """
    if same := [version for version in versions(root, hash) if version.name == name]:
        return same[0]
    uri = store_uri(root)
    with store_errors(uri):
        try:
            client(uri).create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        all_tags = {"dvc": hash, "path": path, **tags}
        model = _logged_model(uri, name, run, all_tags)
        if model.status != LoggedModelStatus.READY:
            _upload(uri, root / path, model.model_id, generation)
        all_tags |= {valid_key(f"parent:{parent}"): version for parent, version in parents.items()}
        return _read(
            client(uri).create_model_version(
                name,
                model.artifact_location,
                run,
                tags=all_tags,
                description=_shortened(description),
                model_id=model.model_id,
            )
        )


def _logged_model(uri: str, name: str, run: str, tags: Mapping[str, str]) -> LoggedModel:
    """Return the experiment's logged model of these bytes; an interrupted registration may have left it."""
    experiment = client(uri).get_run(run).info.experiment_id
    for model in client(uri).search_logged_models([experiment], f"tags.dvc = '{tags['dvc']}'"):
        if model.name == name:
            return model
    kept = {key: value for key, value in tags.items() if value}
    return client(uri).create_logged_model(experiment, name, run, tags=kept)


def _upload(uri: str, folder: Path, model: str, generation: Mapping[str, Any] | None) -> None:
    client(uri).log_model_artifacts(model, str(folder))
    if generation is not None:
        with TemporaryDirectory() as added:
            write_model_files(folder, Path(added), model, dict(generation))
            client(uri).log_model_artifacts(model, added)
    client(uri).finalize_logged_model(model, LoggedModelStatus.READY)


def annotate(root: Path, version: Version, tags: Mapping[str, str], description: str | None = None) -> None:
    """Set tags of a version, and its description if one is given."""
    uri = store_uri(root)
    with store_errors(uri):
        for key, value in tags.items():
            client(uri).set_model_version_tag(
                version.name, str(version.version), valid_key(key), value[:MAX_CHARACTERS]
            )
        if description is not None:
            client(uri).update_model_version(version.name, str(version.version), _shortened(description))


def set_alias(root: Path, alias: str, version: Version) -> None:
    """Point `alias` at this version."""
    uri = store_uri(root)
    with store_errors(uri):
        client(uri).set_registered_model_alias(version.name, alias, str(version.version))


def delete_alias(root: Path, alias: str, name: str) -> None:
    """Remove `alias` from a model."""
    uri = store_uri(root)
    with store_errors(uri):
        client(uri).delete_registered_model_alias(name, alias)


def set_model_tag(root: Path, name: str, key: str, value: str) -> None:
    """Set a tag of a model, which holds for all its versions."""
    uri = store_uri(root)
    with store_errors(uri):
        client(uri).set_registered_model_tag(name, key, value)


def model_tag(root: Path, name: str, key: str) -> str | None:
    """Return a tag of a model; None if there is no such tag or no such model."""
    uri = store_uri(root)
    with store_errors(uri):
        try:
            return client(uri).get_registered_model(name).tags.get(key)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None


def download(root: Path, version: Version, target: Path) -> None:
    """Copy a version's bytes from the registry to `target`. Raises RegistryError if they were changed."""
    uri = store_uri(root)
    with replacing(target) as part, TemporaryDirectory(dir=target.parent) as folder:
        with store_errors(uri):
            copy = Path(_downloaded(uri, version, folder))
        hash = dvc_pipeline.hash_of(copy, root)  # before the rename to *.part, which DVC ignores
        if hash != version.hash:
            raise RegistryError(
                f"{version.label}: the registry's copy has the hash {hash}, registered was {version.hash}; "
                "it was changed"
            )
        copy.rename(part)


def _downloaded(uri: str, version: Version, folder: str) -> str:
    """Download a version's bytes below `folder`, and return their place."""
    place = download_artifacts(version.source, dst_path=folder, tracking_uri=uri)
    remove_model_files(Path(place))
    return place


def set_version_tag(root: Path, version: Version, key: str, value: str) -> None:
    """Set a tag of a version."""
    uri = store_uri(root)
    with store_errors(uri):
        client(uri).set_model_version_tag(version.name, str(version.version), valid_key(key), value)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 2] + " …"


def _read(version: MlflowVersion) -> Version:
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
        aliases=tuple(version.aliases or ()),  # a search result has none
        description=version.description or "",
        source=version.source or "",
        tags=tags,
    )
