"""The nine behaviours, one file each; a category of the prompts is the name of its behaviour.

Two more have prompts only where they are asked for: `documented` by `ingest.world.documented`, and `code` by
`ingest.world.code`.
"""

from random import Random

from alignloop.world.behaviours import (
    code,
    constraint,
    context,
    correction,
    documented,
    fact,
    false_premise,
    harmless,
    refusal,
    summary,
    unknown,
)
from alignloop.world.behaviours.behaviour import Behaviour

BEHAVIOURS: dict[str, Behaviour] = {
    module.BEHAVIOUR.name: module.BEHAVIOUR
    for module in (fact, unknown, false_premise, refusal, harmless, correction, context, constraint, summary)
}
# all that have a gold score
JUDGED = {
    **BEHAVIOURS,
    **{each.BEHAVIOUR.name: each.BEHAVIOUR for each in (documented, code)},
}  # have a gold score


def drawn(rng: Random, code_share: float) -> Behaviour:
    """One of the nine by its share, or `code` with probability `code_share`."""
    if code_share and rng.random() < code_share:
        return code.BEHAVIOUR
    names, shares = list(BEHAVIOURS), [behaviour.share for behaviour in BEHAVIOURS.values()]
    return BEHAVIOURS[rng.choices(names, shares)[0]]
