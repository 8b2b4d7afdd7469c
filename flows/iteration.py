"""One round: fresh rankings of the newest policy's answers, a reward model that has learned them, and a policy that has learned from it."""

from prefect import flow

from tasks.dvc_stage import Outcome
from tasks.policies import evaluate, ppo
from tasks.preferences import label, reward, sample, validate_rankings


@flow(name="round", flow_run_name="round {round}", persist_result=False)
def iteration(round: str, again: list[str]) -> list[Outcome]:
    """Walk one round of params.yaml; stages in `again` run even where nothing changed. It ends early where people have to rank first."""
    outcomes = [sample(round, again), label(round, again, return_state=True).result()]
    if outcomes[-1].done == "waits":
        return outcomes
    return [
        *outcomes,
        validate_rankings(round, again),
        reward(round, again),
        ppo(round, again),
        evaluate(round, again),
    ]
