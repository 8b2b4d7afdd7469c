"""The flow of one round: sample, label, reward model, PPO and evaluation."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.stage_task import Outcome
from tasks.stages import LABELERS, evaluate, label, ppo, reward, sample, validate_rankings
from tasks.waiting_runs import outcome_of, waiting_state


@flow(name="round", flow_run_name="round {round}", persist_result=False)
def iteration(round: str, force: list[str]) -> list[Outcome] | State[Any]:
    """Run one round; it ends early, as waiting, if labelers have to rank first.

    Args:
        round: its name in params.yaml
        force: stages to run even if unchanged
    """
    outcomes: list[Outcome] = [sample(round, force), outcome_of(label(round, force, return_state=True))]
    if outcomes[-1].status == "waits":
        return waiting_state(outcomes[-1].message, LABELERS, outcomes)
    return [
        *outcomes,
        validate_rankings(round, force),
        reward(round, force),
        ppo(round, force),
        evaluate(round, force),
    ]
