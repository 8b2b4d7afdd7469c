"""The score that `ppo.score` in params.yaml asks for: the round's reward model, or a sum of parts."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import decode
from alignloop.core.weighted_score import PartWeight, RolloutScore, WeightedScores, weighted
from alignloop.params.score import Scoring
from alignloop.phases import phase
from alignloop.records import Prompt
from alignloop.scoring.checkpoint_score import CheckpointScore
from alignloop.scoring.cited import Cited
from alignloop.scoring.drawn import Drawn, Part, ScoreError, fault
from alignloop.scoring.local_function import LocalFunction
from alignloop.scoring.rule_part import RuleHits
from alignloop.scoring.supported import Supported
from alignloop.scoring.verifiable import Verifiable
from alignloop.tools.toolbox import Toolbox
from alignloop.training.scoring import scorer

Rows = Sequence[tuple[Prompt, list[int]]]


@contextmanager
def open_score(
    plan: Any,
    limits: Scoring,
    *,
    reward: Path,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    max_new_tokens: int,
    four_bits: bool = False,
    tools: Toolbox | None = None,
) -> Iterator[RolloutScore]:
    """The score of responses to the prompts `rows`, each with its token ids; `plan` is `ppo.score`.

    `tokenizer` is the policy's, and that of the round's reward model in the folder `reward`, which is kept in
    four bits if asked. With `tools`, what is scored is the last turn of a response, to its prompt without the
    tools. Raises
    ScoreError where parts lack what they need, for all that can be known before the first response.
    """
    if plan == "reward":
        of_round = scorer(RewardModel.load(reward, four_bits).frozen(), tokenizer)
        yield tools.reading(of_round) if tools else of_round
        return
    prompts = _by_ids(next(iter(plan)), rows)
    with ExitStack() as stack:
        parts: dict[str, Part] = {}
        faults: list[str] = []
        for name, part in plan.items():
            try:
                parts[name] = made = _part(
                    name,
                    part,
                    limits,
                    stack,
                    reward=reward,
                    tokenizer=tokenizer,
                    rows=rows,
                    four_bits=four_bits,
                )
                if isinstance(made, CheckpointScore):
                    made.check([prompt for prompt, _ in rows], max_new_tokens)
            except ScoreError as error:
                faults.append(str(error))
        if faults:
            raise ScoreError("\n".join(faults))
        weights = {
            name: PartWeight(part.weight, getattr(part, "shift", None) or 0.0) for name, part in plan.items()
        }

        def score(asked: Sequence[list[int]], responses: Sequence[list[int]]) -> WeightedScores:
            read = tools.last_turns(asked, responses) if tools else (asked, responses)
            drawn = Drawn(
                *read,
                prompts=[prompts[tuple(ids)] for ids in asked],
                texts=[decode(tokenizer, ids) for ids in read[1]],
                answers=[tools.search_answers(ids) for ids in responses] if tools else None,
            )
            return weighted({name: _scored(name, part, drawn) for name, part in parts.items()}, weights)

        yield score


def _scored(name: str, part: Part, drawn: Drawn) -> Tensor:
    with phase("scoring", of=name):
        return part(drawn)


def _part(
    name: str,
    plan: Any,
    limits: Scoring,
    stack: ExitStack,
    *,
    reward: Path,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    four_bits: bool,
) -> Part:
    match plan.kind:
        case "reward":
            of_round = scorer(RewardModel.load(reward, four_bits).frozen(), tokenizer)
            return lambda drawn: of_round(drawn.prompt_ids, drawn.response_ids).float()
        case "checkpoint":
            return CheckpointScore(name, plan.path)
        case "function":
            return LocalFunction(name, plan.function, Path.cwd(), limits.timeout_s)
        case "rule":
            return RuleHits(name, plan.rule, plan.version)
        case "http":
            from alignloop.scoring.served import Served  # httpx takes half a second to import

            return stack.enter_context(closing(Served(name, plan.url, limits)))
        case "citations" | "quotes":
            return Cited(name, plan.kind)
        case "supported" if plan.judge is not None:
            from alignloop.scoring.support_judge import SupportJudge  # httpx, as above

            return stack.enter_context(closing(SupportJudge(name, plan.judge, limits)))
        case "supported":
            return Supported(name, [prompt for prompt, _ in rows])
        case _:
            return Verifiable(name, plan.kind, [prompt for prompt, _ in rows])


def _by_ids(first: str, rows: Rows) -> Mapping[tuple[int, ...], Prompt]:
    """The prompts by their token ids. Raises ScoreError where equal ones are checked against other things."""
    known: dict[tuple[int, ...], Prompt] = {}
    for prompt, ids in rows:
        other = known.setdefault(tuple(ids), prompt)
        if other.check != prompt.check:
            raise fault(
                first,
                [other.id, prompt.id],
                "equal conversations with different `check`: responses could be scored as the other's",
                "leave one of them out",
            )
    return known
