"""The whole loop: `python -m flows.pipeline` brings every stage of dvc.yaml up to date, and does nothing where nothing changed.

What is asked for by --with, --set and --sources is written to params.yaml and data/sources: `dvc repro` then gives the same results.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from alignloop.errors import AlignloopError
from alignloop.params import load
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.checkout_lock import at_work
from alignloop.pipeline.overrides import value_of
from flows.iteration import iteration
from tasks import prefect_waits
from tasks.concurrency_limits import look_up_limits
from tasks.dvc_stage import Outcome, warm_up
from tasks.language import pretrain, sft
from tasks.plan import Plan, make_plan
from tasks.policies import release
from tasks.prefect_server import complete_record, keep_server, send_record
from tasks.publish_results import check_champion, publish, results
from tasks.record_run import record
from tasks.stages import ingest, prepare, validate_raw, validate_sets

prefect_waits.shorten()


@flow(name="alignloop", persist_result=False)
def pipeline(
    with_file: Path | None = None,
    overrides: dict[str, Any] | None = None,
    sources: list[Path] | None = None,
    start_from: str | None = None,
    rounds: list[str] | None = None,
    new_round: bool = False,
    data_only: bool = False,
    commit: bool = False,
    branch: str = "runs",
) -> list[Outcome]:
    """Make an assistant: data, a language model, then round after round of preferences and PPO, and the hand-over to review.

    with_file: a YAML file of keys to change in params.yaml
    overrides: dotted keys of params.yaml and their new values
    sources: files to learn from, copied to data/sources
    start_from: a stage to run again, with all that follows from it, even where nothing changed
    rounds: only these rounds, and no release unless they are all
    new_round: add a round after the last one, if that one is done
    data_only: ingest, validate and prepare, and nothing that learns
    commit: push the results to DVC's remote, commit them to a branch, and tag the version of the data
    branch: the branch of these commits; the checkout stays where it is
    """
    with at_work(Path.cwd(), f"flow run {flow_run.get_name()}"):
        look_up_limits()
        plan = make_plan(
            with_file, overrides or {}, sources or [], start_from, rounds, new_round, data_only, commit
        )
        outcomes = _walk(plan)
        if outcomes[-1].done == "waits":
            return waiting(outcomes)
        if commit:
            record(plan, branch)
        return outcomes


def _walk(plan: Plan) -> list[Outcome]:
    again = plan.again
    watch = check_champion.submit()
    outcomes = [ingest(again), validate_raw(again), prepare(again), validate_sets(again)]
    if not plan.data_only:
        outcomes += [pretrain(again), sft(again)]
    watch.wait()
    for round in plan.rounds:
        outcomes += iteration(round, again)
        if outcomes[-1].done == "waits":
            return outcomes
    if plan.complete:
        outcomes += [release(again, return_state=True).result()]
        publish()
    if any(outcome.done == "ran" for outcome in outcomes):
        check_champion(
            return_state=True
        )  # as it is now, so that a run which finds nothing to do need not look
    return outcomes


def waiting(outcomes: list[Outcome]) -> Any:
    """How the flow ends where people have to do their part first: nothing failed, and a later run goes on from here."""
    return Completed(name="Waiting", message=outcomes[-1].words, data=outcomes)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: run the flow, and end with its results or with the one message that says what is wrong."""
    asked = _parser().parse_args(arguments)
    try:
        overrides = {
            key: value_of(value) for key, _, value in (pair.partition("=") for pair in asked.overrides)
        }
        load(Path("params.yaml"))
        stages = dvc_pipeline.pipeline(Path.cwd()).stages()
        if vars(asked) != vars(_parser().parse_args([])) or not Path(".dvc", "cache").exists():
            warm_up(stages.values())  # something will run, and Prefect takes its time to start as well
        keep_server()
        state: State[Any] = pipeline(**{**vars(asked), "overrides": overrides}, return_state=True)
        complete_record(state)
        outcomes: list[Outcome] = state.result()
    except AlignloopError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        send_record()
        print("\ninterrupted; the same command continues with the stage that was running", file=sys.stderr)
        return 130
    if outcomes[-1].done == "waits":
        print(f"\n{outcomes[-1].words}", file=sys.stderr)
        return os.EX_TEMPFAIL
    if outcomes[-1].stage == "release":
        print(f"\n{results(Path.cwd())}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m flows.pipeline", description=pipeline.description)
    parser.add_argument(
        "--with",
        dest="with_file",
        type=Path,
        metavar="FILE",
        help="a YAML file of keys to change in params.yaml",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of params.yaml and its new value",
    )
    parser.add_argument(
        "--sources", nargs="+", type=Path, metavar="FILE", help="files to learn from, copied to data/sources"
    )
    parser.add_argument(
        "--from", dest="start_from", metavar="STAGE", help="run this stage and all that follows from it again"
    )
    parser.add_argument("--rounds", nargs="+", metavar="ROUND", help="walk only these rounds")
    parser.add_argument(
        "--new-round", action="store_true", help="add a round after the last one, if that one is done"
    )
    parser.add_argument(
        "--data-only", action="store_true", help="ingest, validate and prepare, and nothing that learns"
    )
    parser.add_argument(
        "--commit", action="store_true", help="push the results to DVC's remote and commit them to a branch"
    )
    parser.add_argument("--branch", default="runs", help="the branch of these commits: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
