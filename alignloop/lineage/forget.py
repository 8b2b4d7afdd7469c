"""`data forget`: remove a user's data from sources, sets, labeling store, DVC's cache and remotes.

Models that were trained on the data are named and marked; they keep what they learned. Every step can be
repeated, and the steps that can fail for outside reasons (a remote that is unreachable) come last: after a
failure, the same command resumes. The next run makes all that depends on the data anew.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from alignloop import params as parameters
from alignloop.data.forgotten import ForgottenUsers
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.sources import Source, find_sources
from alignloop.data.input_files import link_target
from alignloop.data.record_files import read_rows, remove_records
from alignloop.errors import AlignloopError
from alignloop.labeling import chat_erasure, erasure
from alignloop.lineage import quotes, record_trace, row_removal
from alignloop.lineage.graph import Graph, descendants, load_graph
from alignloop.lineage.log import DATA, RECORD_SUFFIXES, model_label
from alignloop.lineage.record_trace import Occurrence
from alignloop.lineage.user_records import ShownPassages, User, documents_of_user, folders, has_turns, indexes
from alignloop.params import Params
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.dvc_errors import VersioningError
from alignloop.records import Demonstration, Prompt, prompt_of
from alignloop.retrieval.documents import documents_of
from alignloop.retrieval.index import remove_user
from alignloop.teacher import journal
from alignloop.teacher.self_instruct import users_made_of
from alignloop.tracking import registry

FORGOTTEN = Path("data/forgotten.txt")
SOURCES = Path("data/sources")
ROLLOUTS = f"{DATA}policy/"  # they have only the id of a prompt, so they are searched last
Row = dict[str, Any]


class ForgetError(AlignloopError):
    """There is no data of this user."""


@dataclass
class UserData:
    """A user's data in the versions of the sets.

    `objects` are objects of DVC's cache that hold records, with their number; `folders` and `trained` are
    versions with such an object, and with one in the training split; `unread` is what is not in the cache.
    """

    objects: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)


def forget_user(root: Path, id: str) -> Iterator[str]:
    """Forget a user, and yield a line for each thing that was done."""
    user, forgotten = User(id), ForgottenUsers(root / FORGOTTEN)
    params = parameters.load(root / "params.yaml")
    names = {id, *chat_erasure.names_of(root, id)}  # in chat, and in records of what was said there
    user.ids |= names
    user.ids |= users_made_of(root, user.ids)  # new tasks that a teacher made of the user's
    documents = list(documents_of_user(root, params, user.ids))
    user.passages = ShownPassages(documents)
    graph = load_graph(root, commits=True)
    # 1. Search everywhere first: a user without data is not written down.
    data = search_versions(root, graph, user)
    rows, files = _search_sources(root, user), _search_sets(root, user)
    stored = erasure.count_items(root, user.ids, user.made) + chat_erasure.count_items(root, user.ids)
    known = data.objects or rows or files or documents or stored
    if not (id in forgotten or known):
        raise ForgetError(
            f"{id}: no source, set, version of a set or labeling item holds anything of this user; "
            "nothing was changed. `data show ID` shows the user of a record"
        )
    # 2. The list first: from here on no run takes the user in, whatever else happens.
    mark = forgotten.add(id)
    for name in sorted(names - {id}):
        forgotten.add(name)
    yield f"noted      {mark} in {FORGOTTEN}: `ingest` leaves this user out from now on"
    # 3. The data in the workspace. A row that holds other users as well goes whole.
    for path, lines in rows.items():
        target = link_target(path)
        is_left = row_removal.remove_rows(path, lines)
        emptied = "" if is_left else ", and the file, for no other is left"
        yield f"removed    {len(lines):,} rows from {path.relative_to(root).as_posix()}{emptied}"
        if target:
            name = path.relative_to(root).as_posix()
            yield f"left       {target}, to which {name} was a link: remove the rows there too"
    for file in files:
        yield (
            f"removed    {remove_records(file, user.owns):,} records from {file.relative_to(root).as_posix()}"
        )
    if conversations := chat_erasure.forget(root, user.ids, mark):
        yield f"removed    {conversations:,} conversations of the chat page, with all feedback on them"
    if counts := erasure.forget(root, user.ids, mark, user.made):
        removed = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        yield f"removed    {removed} from the labeling store"
    yield from quotes.forget_quotes(root, user.texts | user.read_texts)
    yield from quotes.forget_completions(root, user.prompts | user.read_prompts)
    # 4. The models that were trained on it.
    yield from _mark_models(root, graph, data, mark)
    # 5. The data in earlier versions.
    yield from _erase_versions(root, data)
    # 6. What led to the rest at last, so that a repeated command finds it again.
    if replies := journal.erase_user(root, user.ids):
        yield f"removed    {replies:,} replies of a teacher to their prompts from {journal.FOLDER}"
    for place in indexes(root, params):
        if removed := remove_user(place, user.ids):
            yield f"removed    {removed:,} documents from {_name(place, root)}, the search's index"
    yield from _left(root, user, params)
    yield f"next       `git add {FORGOTTEN} && git commit`, and `make run`: it makes anew what is affected."


def _name(place: Path, root: Path) -> str:
    return os.path.relpath(place, root)


def _left(root: Path, user: User, params: Params) -> Iterator[str]:
    """Name what this command does not remove."""
    for folder in folders(root, params):
        if count := len(list(documents_of(folder, user.ids))):
            yield f"left       {count:,} documents in {_name(folder, root)}: remove these lines there"
    yield "left       passages in records, of documents that were in no index and no folder any more"
    yield "left       passages that responses in other people's conversations were shown"
    yield "left       indexes elsewhere, which neither params.yaml nor the pipeline names"
    yield "left       what the models above have learned, until they are replaced"
    yield "left       copies elsewhere: other clones, backups, exports, what people have copied; MLflow's and"
    yield "           Prefect's stores where another machine keeps them"
    yield "left       rows that `ingest` refused, in data/sources: metrics/ingest.json counts them"
    yield "left       pages of reports/validation and their copies in mlruns/artifacts, with single values"
    yield "left       lines of the labeling audit: who did what, and when, without the user's prompts"
    labels = erasure.labels_that_stay(root, user.id)
    if labels is not None:
        yield f"left       the account {user.id}, with {labels:,} submissions for other users' prompts:"
        yield "           exclude it at /admin, and they do not count"


def search_versions(root: Path, graph: Graph, user: User) -> UserData:
    """Search every version of every set in DVC's cache."""
    data, pipeline = UserData(), dvc_pipeline.pipeline(root)
    searched: dict[str, tuple[int, int]] = {}
    all_versions = {
        (path, hash)
        for execution in graph.executions
        for path, hash in execution.outputs.items()
        if path.startswith(DATA)
    }
    for path, hash in sorted(all_versions, key=lambda pair: _order(pair[0])):
        try:
            contents = pipeline.contents(hash)
        except VersioningError:
            data.unread.append(f"{path} {hash}")
            continue
        for name, object in contents.items():
            full_name = f"{path}/{name}" if name else path
            if Path(full_name).suffix not in RECORD_SUFFIXES:
                continue
            place = pipeline.place(object)
            if object not in searched and not place.exists():
                data.unread.append(f"{full_name} {object}")
                continue
            if object not in searched:
                searched[object] = _count(path, full_name, place, user)
            records, training_records = searched[object]
            if records:
                data.objects[object] = records
                data.folders |= {hash} if name else set()
            if training_records:
                data.trained.add(hash)
    return data


def _order(path: str) -> tuple[bool, bool, str]:
    """What says which prompts and responses are meant comes before what has only their ids or texts."""
    return path.startswith(ROLLOUTS), not has_turns(path), path


def _count(path: str, name: str, place: Path, user: User) -> tuple[int, int]:
    """Count the user's records in a file, and those among them that models are trained on."""
    rows = [Occurrence(path, name, line, row, True) for line, row in read_rows(place) if user.owns(row)]
    return len(rows), sum(row.is_training_data for row in rows)


def _search_sources(root: Path, user: User) -> dict[Path, set[int]]:
    """Return the lines of each source that hold the user's records."""
    plan = parameters.load(root / "params.yaml").ingest
    lines_of: dict[Path, set[int]] = {}
    if plan.reads_files:
        for source in find_sources(root / SOURCES, plan.formats, plan.columns, plan.licences, plan.domains):
            lines = lines_of_user(source, user)
            if lines and row_removal.one_row_per_line(source.path):
                lines = lines_of_user(source, user)
            if lines:
                lines_of[source.path] = lines
    return lines_of


def lines_of_user(source: Source, user: User) -> set[int]:
    """The lines of a source that hold the user's records, and those that belong to the same."""
    lines = {line for line, item in source.reader.read(source.path, source.name) if _is_of(item, user)}
    if lines and source.reader.belongs:
        owners = dict(source.reader.belongs(source.path))
        own = {owners[line] for line in lines if line in owners}
        lines |= {line for line, owner in owners.items() if owner in own}
    return lines


def _is_of(item: Any, user: User) -> bool:
    record = item.record if isinstance(item, Changed) else item
    if isinstance(record, Refused):
        return False
    owned = prompt_of(record)
    if not isinstance(owned, Prompt | Demonstration):
        return False
    return owned.user in user.ids or (
        isinstance(owned, Demonstration) and any(user.passages.are_in(call.result) for call in owned.calls)
    )


def _search_sets(root: Path, user: User) -> list[Path]:
    """Return the files in the workspace's sets that hold the user's records. DVC makes changed sets anew."""
    paths = (path for path in record_trace.present_sets(root) if not path.startswith(f"{SOURCES}/"))
    sets = [record_trace.set_files(root, path) for path in sorted(paths, key=_order)]
    files = [file for found in sets for file in found.values()]
    return [file for file in files if sum(user.owns(row) for _, row in read_rows(file))]


def _mark_models(root: Path, graph: Graph, data: UserData, mark: str) -> Iterator[str]:
    """Mark and list every model that was trained on the user's data, or made from such a model."""
    executions, _ = descendants(graph, *data.trained, through=("models/",))
    models = {
        (path, hash): execution
        for execution in executions
        for path, hash in execution.outputs.items()
        if path.startswith("models/")
    }
    for (path, hash), execution in models.items():
        for version in graph.versions.get(hash, ()):
            tag = f"forgotten:{mark[:12]}"
            registry.set_version_tag(root, version, tag, f"{datetime.now(UTC):%Y-%m-%d}")
            yield f"marked     {version.label} in the registry: {tag}"
        yield f"learned    {model_label(graph, path, hash)}  ({execution.label})"
    if not models and data.unread:
        yield "learned    no model from the versions that can still be read; a model that learned from others"
        yield "           has its mark in the registry, `forgotten:…`"
    elif not models:
        yield "learned    no model that this MLflow store or dvc.lock knows of"


def _erase_versions(root: Path, data: UserData) -> Iterator[str]:
    """Remove the objects that hold the user's data, and their folders' lists, from remotes and cache."""
    pipeline, hashes = dvc_pipeline.pipeline(root), [*data.objects, *sorted(data.folders)]
    for remote in pipeline.remotes():
        yield f"removed    {pipeline.erase(hashes, remote):,} objects from the remote {remote}"
    yield f"removed    {pipeline.erase(hashes):,} objects of earlier and present versions from DVC's cache"
    if data.unread:
        some = ", ".join(data.unread[:5])
        yield f"not read   {len(data.unread):,} versions or files whose bytes are not here: {some}"
        yield "           other clones' caches and a remote may hold them: `dvc fetch --all-commits` there,"
        yield "           and this command again"
