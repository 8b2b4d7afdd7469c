"""One round: fresh rankings of the newest policy's answers, a reward model that has learned them, and a policy that has learned from it."""

from prefect import flow

from tasks.policies import evaluate, ppo
from tasks.preferences import label, reward, sample, validate_rankings
from tasks.stage import Outcome


@flow(name="round", flow_run_name="round {round}", persist_result=False)
def iteration(round: str, again: list[str]) -> list[Outcome]:
    """Walk one round of params.yaml; stages in `again` run even where nothing changed."""
    return [
        sample(round, again),
        label(round, again),
        validate_rankings(round, again),
        reward(round, again),
        ppo(round, again),
        evaluate(round, again),
    ]
