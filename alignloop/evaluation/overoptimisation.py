"""The over-optimisation curve (arXiv 2210.10760): score and gold of PPO's responses over √KL to SFT.

The responses are PPO's own rollouts, one point per step, so the curve costs no further sampling: responses
to training prompts by the policy as it was at that step, before its weights were averaged. Gold is the
built-in environment's exact ground-truth score.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from statistics import fmean

from alignloop.records import Prompt, Rollout
from alignloop.world.gold import judge


def by_step(rollouts: Sequence[Rollout], prompts: Sequence[Prompt]) -> list[tuple[int, dict[str, float]]]:
    """Each step's √KL (nats per response; 0 where the estimate is negative), mean score, and mean gold.

    Gold is left out where prompts have no key.
    """
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
        prompts_of = [known[each.prompt] for each in drawn]
        if all(prompt.key is not None for prompt in prompts_of):
            numbers["gold"] = fmean(
                judge(prompt, each.response).score for prompt, each in zip(prompts_of, drawn, strict=True)
            )
        points.append((step, numbers))
    return points
