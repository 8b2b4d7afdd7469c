"""The over-optimisation curve (arXiv 2210.10760): what the reward model and gold say of PPO's answers, over √KL to SFT.

The answers are PPO's own rollouts, a point a step, so the curve costs no further drawing: answers to training prompts, by the policy as it
was at that step, before its weights were averaged.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from statistics import fmean

from alignloop.records import Prompt, Rollout
from alignloop.world.gold import judge


def by_step(rollouts: Sequence[Rollout], prompts: Sequence[Prompt]) -> list[tuple[int, dict[str, float]]]:
    """Of each step √KL (nats per response; 0 where the estimate is negative), the mean score, and mean gold where prompts have a key."""
    known = {prompt.id: prompt for prompt in prompts}
    steps: dict[int, list[Rollout]] = defaultdict(list)
    for rollout in rollouts:
        steps[rollout.step].append(rollout)
    points = []
    for step, drawn in sorted(steps.items()):
        numbers = {
            "sqrt_kl": sqrt(max(0.0, fmean(each.kl for each in drawn))),
            "score": fmean(each.score for each in drawn),
        }
        asked = [known[each.prompt] for each in drawn]
        if all(prompt.key is not None for prompt in asked):
            numbers["gold"] = fmean(
                judge(prompt, each.response).score for prompt, each in zip(asked, drawn, strict=True)
            )
        points.append((step, numbers))
    return points
