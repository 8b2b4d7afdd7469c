"""The flow of one round: sample, label, reward model, PPO and evaluation."""

from prefect import flow

from tasks.stage_task import Outcome
from tasks.stages import evaluate, label, ppo, reward, sample, validate_rankings


@flow(name="round", flow_run_name="round {round}", persist_result=False)
def iteration(round: str, force: list[str]) -> list[Outcome]:
    """Run one round of params.yaml; stages in `force` run even if unchanged.

    It ends early if labelers have to rank first.
    """
    outcomes = [sample(round, force), label(round, force, return_state=True).result()]
    if outcomes[-1].status == "waits":
        return outcomes
    return [
        *outcomes,
        validate_rankings(round, force),
        reward(round, force),
        ppo(round, force),
        evaluate(round, force),
    ]
