"""The task `plan`: write a run's options into the files that DVC reads, and choose the rounds to run."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from alignloop.data.run_requirements import check, fitting_values, statements
from alignloop.data.source_survey import survey
from alignloop.flatten import flatten
from alignloop.params import Params, ParamsError, load
from alignloop.params.distill import out_of
from alignloop.pipeline import dvc_pipeline, run_commits
from alignloop.pipeline.dvc_pipeline import Stage
from alignloop.pipeline.overrides import mapping_in, override, preview
from alignloop.pipeline.source_files import copy_sources, target_names
from alignloop.progress import watched
from tasks.chat_feedback import take_feedback
from tasks.doctor import Consultation, consult, consult_again, consult_files, consult_sizes
from tasks.presets import preset_file
from tasks.stage_task import warm_up

NO_ROUNDS = {"distill", "search_index"}  # stages whose instances are teachers and collections, not rounds

FILES_DEFAULTS = Path("configs", "files.yaml")  # what `make run-files` starts from


@dataclass(frozen=True)
class Plan:
    """The rounds to run, whether these are all, and the stages to run even if unchanged.

    `teachers` are those that write a source, `collections` those whose index is made, `stages` all of the run
    in their order, `stale` those that run as far as can be known before. `rates` are the base's, where stages
    wait for the data to be prepared to say how long they take.
    """

    rounds: list[str]
    teachers: list[str]
    collections: list[str]
    is_complete: bool
    force: list[str]
    data_only: bool
    stages: list[str]
    stale: set[str]
    rates: Mapping[str, float] | None = None


@task(name="plan", task_run_name="plan", cache_policy=NO_CACHE, persist_result=False)
def make_plan(
    with_file: Path | None,
    overrides: Mapping[str, Any],
    sources: Sequence[Path],
    start_from: str | None,
    rounds: Sequence[str] | None,
    *,
    base: str | None = None,
    preset: str | None = None,
    new_round: bool = False,
    feedback: bool = False,
    data_only: bool = False,
    commit: bool = False,
) -> Plan:
    """Write overrides into params.yaml and sources into data/sources; refuse invalid ones first."""
    log, root = get_run_logger(), Path.cwd()
    places = sources, root / "data" / "sources", root / ".cache" / "sources.json"
    target_names(*places)  # raises before params.yaml is written if a file does not exist
    if commit:
        run_commits.check_clean(root)
    if feedback:
        taken = take_feedback(root, load(root / "params.yaml"), next_round(root))
        for line in taken.lines:
            log.info("%s", line)
        overrides = {**taken.overrides, **overrides}
    elif new_round:
        overrides = {**next_round(root), **overrides}
    preset_values, chosen = preset_file(preset, base is not None)
    if chosen:
        log.info("%s", chosen)
    files = [file for file in (with_file, preset_values) if file]
    if base:
        overrides = {"base": base, **overrides}
    planned = preview(root / "params.yaml", files, overrides)
    if sources:
        log.info("data/sources: %s", ", ".join(copy_sources(*places)))
    found = survey(planned.ingest, root / "data" / "sources")
    if sources:
        given = _given_keys(root, with_file, overrides)
        overrides = {
            **fitting_values(planned, found, given, load(root / "params.yaml").label.kind),
            **overrides,
        }
        planned = preview(root / "params.yaml", files, overrides)
    if all((root / out_of(name)).exists() for name in planned.distill):
        check(planned, found, [str(path) for path in sources])
    examined = Consultation([]) if data_only else _examined(root, planned, files, overrides)
    for line in examined.lines:
        log.info("%s", line)
    for key, (before, after) in override(root / "params.yaml", files, overrides).items():
        log.info("params.yaml: %s", _change(key, before, after))
    if planned.ingest.reads_files:
        for line in statements(planned, found):
            log.info("%s", line)
    all_rounds, pipeline = list(load(root / "params.yaml").rounds), dvc_pipeline.pipeline(root)
    if unknown := sorted(set(rounds or []) - set(all_rounds)):
        raise ParamsError(
            f"--rounds {' '.join(unknown)}: params.yaml has no such round; it has {', '.join(all_rounds)}"
        )
    force = sorted(pipeline.downstream(start_from)) if start_from else []
    if start_from and not force:
        raise ParamsError(
            f"--from {start_from}: dvc.yaml has no such stage; it has {', '.join(pipeline.stages())}"
        )
    with watched("plan", lambda line: log.info("%s", line)):
        outdated = {*pipeline.outdated(), *force}
    warm_up(pipeline.stages()[name] for name in outdated)
    selected = [] if data_only else [round for round in all_rounds if rounds is None or round in rounds]
    for line in _asked_of_people(root, selected, outdated):
        log.info(line)
    is_complete = selected == all_rounds
    stages = _order(pipeline.stages().values(), selected, data_only=data_only, is_complete=is_complete)
    return Plan(
        selected,
        teachers=list(planned.distill),
        collections=list(planned.documents),
        is_complete=is_complete,
        force=force,
        data_only=data_only,
        stages=stages,
        stale=_with_followers(pipeline, outdated),
        rates=None if examined.complete else examined.rates,
    )


def tell_times(plan: Plan) -> None:
    """Say again how long the stages take, if that hung on the data, which is prepared now."""
    if plan.rates and not plan.data_only:
        root = Path.cwd()
        for line in consult_again(root, load(root / "params.yaml").base, plan.rates):
            get_run_logger().info("%s", line)


def _order(
    stages: Iterable[Stage], rounds: Sequence[str], *, data_only: bool, is_complete: bool
) -> list[str]:
    """Return the stages of a run in the order in which the flow runs them."""
    stages = list(stages)
    groups: dict[str, bool] = {}  # in the order of dvc.yaml -> whether it is part of a round
    for stage in stages:
        groups[stage.group] = stage.round is not None and stage.group not in NO_ROUNDS
    beyond = "pretrain" if data_only else "sample"
    before = takewhile(lambda stage: stage.group != beyond, stages)
    first = [stage.name for stage in before if stage.group != "release"]
    each = [f"{group}@{round}" for round in rounds for group, in_round in groups.items() if in_round]
    return [*first, *each, *(["release"] if is_complete else [])]


def _with_followers(pipeline: dvc_pipeline.Pipeline, outdated: Collection[str]) -> set[str]:
    """Return these stages and all that use what they make."""
    stale: set[str] = set()
    for name in outdated:
        if name not in stale:
            stale |= pipeline.downstream(name)
    return stale


def _examined(
    root: Path, planned: Params, files: Sequence[Path], overrides: Mapping[str, Any]
) -> Consultation:
    """What the doctor says of this run. Raises RunRefused where a stage would fail."""
    consult_files(root, planned)
    if planned.base and not _is_taken(root, planned.base):
        fetched = "" if (root / planned.base).is_dir() else ", fetched first"
        log = get_run_logger()
        log.info("base: trying %s%s", planned.base, fetched)
        return consult(root, planned.base, files, overrides, say=lambda line: log.info("%s", line))
    if planned.ppo.score != "reward":  # what it names may be wrong, and is used late in a run
        return consult(root, planned.base, files, overrides, times=False)
    return Consultation(consult_sizes(root, planned))


def _is_taken(root: Path, base: str) -> bool:
    """Whether this checkpoint is the base model already."""
    return base == load(root / "params.yaml").base and (root / "models" / "base").is_dir()


def _change(key: str, before: Any, after: Any) -> str:
    """A changed key in a line, with its values as params.yaml writes them."""
    if isinstance(before, dict) and after is None:
        return f"{key}: removed"
    old, new = (json.dumps(value, ensure_ascii=False) for value in (before, after))
    return f"{key}: {old} → {new}"


def _given_keys(root: Path, with_file: Path | None, overrides: Mapping[str, Any]) -> set[str]:
    """The keys that this run was given: those of the defaults for files are nobody's choice."""
    if with_file is None or with_file.resolve() == (root / FILES_DEFAULTS).resolve():
        return set(overrides)
    return {*overrides, *flatten(mapping_in(with_file))}


def _asked_of_people(root: Path, rounds: Sequence[str], stale: Collection[str]) -> list[str]:
    """Return a line for each round that people have to rank: how many hours that takes."""
    params = load(root / "params.yaml")
    if not params.label.people_share:
        return []
    from alignloop.labeling.planned_rounds import announcements  # imports the labeling database

    labeled = [round for round in rounds if params.rounds[round].by != "adopted"]
    unlabeled = [round for round in labeled if f"label@{round}" in stale]
    return announcements(
        root, params, unlabeled, [name for name in unlabeled if f"sample@{name}" not in stale]
    )


def next_round(root: Path) -> dict[str, Any]:
    """Return the override that adds a round after the last one; empty until the last one has been evaluated.

    The new round starts from the last one's policy, reward model and rankings, and learns as it did, or as
    the last one that trained its policy.
    """
    rounds = load(root / "params.yaml").rounds
    last = list(rounds)[-1]
    if not (root / "metrics" / "rounds" / last / "evaluate.json").exists():
        return {}
    if not (number := re.search(r"\d+$", last)):
        raise ParamsError(
            f"new_round: the name of the last round, {last}, ends in no number; "
            "name the new one: --set rounds.NAME={…}"
        )
    policy, reward_model = f"models/{last}/policy", f"models/{last}/reward"
    name = f"{last[: number.start()]}{int(number[0]) + 1}"
    plan = {
        "policy": policy,
        "start": policy,
        "reward_start": reward_model,
        "rankings": f"data/rankings/{last}",
        "by": next((plan.by for plan in reversed(rounds.values()) if plan.by != "adopted"), "ppo"),
    }
    return {f"rounds.{name}": plan}
