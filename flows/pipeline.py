"""The whole loop: `python -m flows.pipeline` brings every stage of dvc.yaml up to date.

The options --with, --set and --sources are written to params.yaml and data/sources, so that `dvc repro`
then gives the same results.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import deployment, flow_run

from alignloop.errors import AlignloopError
from alignloop.exit_status import print_any_text
from alignloop.params import load
from alignloop.pipeline import dvc_pipeline
from alignloop.pipeline.checkout_lock import PATIENCE_SECONDS, STAGE_PATIENCE_SECONDS, lock_checkout
from alignloop.pipeline.git import revision
from alignloop.pipeline.loop import end_loop
from alignloop.pipeline.machine import check_place, keep_stores_private
from alignloop.pipeline.overrides import parse_value
from flows.iteration import iteration
from tasks import console, prefect_waits
from tasks.chat_feedback import end_feedback
from tasks.concurrency_limits import look_up_limits
from tasks.next_steps import closing_words, waiting_words
from tasks.plan import Plan, make_plan, tell_times
from tasks.prefect_server import check_server, flush_events, shield_server, wait_until_recorded
from tasks.publish_results import check_champion, publish, write_results_page
from tasks.record_run import record
from tasks.run_names import run_name
from tasks.run_position import RUN, RunPosition
from tasks.stage_task import Outcome, StageFailed, warm_up
from tasks.stages import (
    DECISION,
    LABELERS,
    distill,
    ingest,
    prepare,
    pretrain,
    release,
    search_index,
    sft,
    validate_raw,
    validate_sets,
)
from tasks.waiting_runs import end_waiting_runs, outcome_of, refuse_resume, waiting_state

prefect_waits.shorten()


@flow(name="alignloop", flow_run_name=run_name, persist_result=False)
def pipeline(
    with_file: Path | None = None,
    overrides: dict[str, Any] | None = None,
    sources: list[Path] | None = None,
    base: str | None = None,
    preset: str | None = None,
    start_from: str | None = None,
    rounds: list[str] | None = None,
    new_round: bool = False,
    feedback: bool = False,
    data_only: bool = False,
    commit: bool = False,
    branch: str = "runs",
) -> list[Outcome] | State[Any]:
    """Make an assistant: data, a language model, then rounds of preferences and PPO, and the release.

    Args:
        with_file: a YAML file of keys to change in params.yaml
        overrides: dotted keys of params.yaml and their new values, such as {"ppo.steps": 20}
        sources: files to learn from, copied to data/sources
        base: a checkpoint to start from; its preset is chosen by the device, unless `preset` names one
        preset: values for a checkpoint, from configs/: laptop, gpu-24gb, gpu-80gb, node-8x80gb
        start_from: a stage to run again, with all that follows from it, even where nothing changed
        rounds: only these rounds, and no release unless they are all
        new_round: add a round after the last one, if that one is done
        feedback: the same, with what people said in chat and agree to have used as a source
        data_only: ingest, validate and prepare, and nothing that learns
        commit: push the results to DVC's remote, commit them to a branch, and tag the version of the data
        branch: the branch of these commits; the checkout stays where it is
    """
    # a deployment's run may begin while the cancelled one before it still ends
    patience = STAGE_PATIENCE_SECONDS if deployment.id else PATIENCE_SECONDS
    with lock_checkout(Path.cwd(), f"flow run {flow_run.get_name()}", patience):
        look_up_limits()
        plan = make_plan(
            with_file,
            overrides or {},
            sources or [],
            start_from,
            rounds,
            base=base,
            preset=preset,
            new_round=new_round,
            feedback=feedback,
            data_only=data_only,
            commit=commit,
        )
        root = Path.cwd()
        RUN.set(RunPosition(root, dvc_pipeline.pipeline(root).stages(), plan.stages, plan.stale))
        if not data_only:
            end_waiting_runs(root)
        outcomes = _run_stages(plan)
        if outcomes[-1].status == "waits":
            return waiting_state(outcomes[-1].message, _awaited(outcomes[-1]), outcomes)
        if plan.is_complete:
            end_loop(Path.cwd())
            end_feedback(Path.cwd())
        if commit:
            record(plan, branch)
        return outcomes


def _run_stages(plan: Plan) -> list[Outcome]:
    force = plan.force
    check = check_champion.submit()
    outcomes = [distill(name, force) for name in plan.teachers]
    outcomes += [ingest(force), validate_raw(force), prepare(force), validate_sets(force)]
    outcomes += [search_index(name, force) for name in plan.collections]
    if not plan.data_only:
        tell_times(plan)
        outcomes += [pretrain(force), sft(force)]
    check.wait()
    for round in plan.rounds:
        state: State[Any] = iteration(round, force, return_state=True)
        refuse_resume(state)
        outcomes += outcome_of(state)
        if outcomes[-1].status == "waits":
            return outcomes
    if plan.is_complete:
        outcomes += [outcome_of(release(force, return_state=True))]
        publish()
    write_results_page(Path.cwd(), outcomes)
    if any(outcome.status == "ran" for outcome in outcomes):
        check_champion(return_state=True)  # so that the next run, if nothing changed, can skip the check
    return outcomes


def _awaited(outcome: Outcome) -> str:
    return DECISION if outcome.stage == "release" else LABELERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the flow from the command line; print the results, or the message of what failed."""
    print_any_text()
    options = _parser().parse_args(arguments)
    console.shorten()
    try:
        overrides = {
            key: parse_value(value) for key, _, value in (pair.partition("=") for pair in options.overrides)
        }
        check_place(Path.cwd())
        keep_stores_private(Path.cwd())
        load(Path("params.yaml"))
        check_server()
        stages = dvc_pipeline.pipeline(Path.cwd()).stages()
        revision(Path.cwd())  # raises if git refuses this folder, which every stage would meet
        if vars(options) != vars(_parser().parse_args([])) or not Path(".dvc", "cache").exists():
            warm_up(stages.values())  # stages will run; Prefect takes seconds to start as well
        shield_server()
        state: State[Any] = pipeline(**{**vars(options), "overrides": overrides}, return_state=True)
        wait_until_recorded(state)
        outcomes: list[Outcome] = outcome_of(state)
        refuse_resume(state)
    except AlignloopError as error:
        print("\n".join(["", *console.wrapped(str(error))]), file=sys.stderr)
        if isinstance(error, StageFailed) and error.code > 0:
            print(
                "\nnext: the same command continues with this stage; what was finished stays", file=sys.stderr
            )
        return 1
    except KeyboardInterrupt:
        flush_events()
        print("\ninterrupted; the same command continues with the stage that was running", file=sys.stderr)
        return 130
    if outcomes[-1].status == "waits":
        print(f"\n{waiting_words(Path.cwd(), outcomes[-1].message)}", file=sys.stderr)
        return os.EX_TEMPFAIL
    print(f"\n{closing_words(Path.cwd(), outcomes)}", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m flows.pipeline", description=(pipeline.description or "").partition("\n\n")[0]
    )
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
    parser.add_argument("--base", metavar="CHECKPOINT", help="a checkpoint to start from, with a preset")
    parser.add_argument(
        "--preset", metavar="NAME", help="of configs/; without it the device chooses one for --base"
    )
    parser.add_argument(
        "--from", dest="start_from", metavar="STAGE", help="run this stage and all that follows from it again"
    )
    parser.add_argument("--rounds", nargs="+", metavar="ROUND", help="run only these rounds")
    parser.add_argument(
        "--new-round", action="store_true", help="add a round after the last one, if that one is done"
    )
    parser.add_argument(
        "--feedback", action="store_true", help="the same, with what people said in chat as a source"
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
