"""The nine behaviours, one file each; a category of the prompts is the name of its behaviour.

A tenth, `documented`, has prompts only where `ingest.world.documented` asks for them.
"""

from alignloop.world.behaviours import (
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
JUDGED = {**BEHAVIOURS, documented.BEHAVIOUR.name: documented.BEHAVIOUR}  # all that have a gold score
