"""About how long each stage takes on idle cores, from measured rates, the parameters and the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from alignloop.checks.data_lengths import SetLengths
from alignloop.checks.step_time import Rates
from alignloop.params import Params

TYPICAL_PROMPT = 48.0  # tokens, where no data is prepared
ADAPTER_SHARE = 0.7  # of a step in which all weights learn: their gradients are not computed


@dataclass(frozen=True)
class Work:
    """What the stages have to do: parameters, rates, tokens of a prompt and of a response, and records."""

    params: Params
    rates: Rates
    prompt: float
    response: float
    document: float
    counts: Mapping[str, int]

    @property
    def row(self) -> float:
        """Tokens of a prompt with its response."""
        return self.prompt + self.response

    def drawing(self, count: float, response: float) -> float:
        """Seconds in which so many responses are drawn.

        A batch takes its steps until its longest response ends, which may be one in many: all of them.
        """
        decoding = self.params.decoding
        batches = ceil(count / decoding.responses_per_batch)
        steps = batches * decoding.max_new_tokens * self.rates.step
        return count * (response / self.rates.drawn + self.prompt / self.rates.read) + steps

    def reading(self, tokens: float) -> float:
        """Seconds in which so many tokens are read."""
        return tokens / self.rates.read

    def learning(self, tokens: float, by_adapters: bool) -> float:
        """Seconds in which so many tokens are learned from."""
        return tokens / self.rates.learned * (ADAPTER_SHARE if by_adapters else 1.0)


def durations(
    params: Params, rates: Rates, sets: Mapping[str, SetLengths], counts: Mapping[str, int]
) -> dict[str, float]:
    """Seconds by stage; those of rounds hold for one round.

    `sets` are the lengths of the prepared data, `counts` its records by "set/split"; a stage whose data is
    not known is left out. Responses are as long as those of demonstrations, or take all their tokens.
    """
    response = float(params.decoding.max_new_tokens)
    if "demonstrations" in sets:
        response = min(response, sets["demonstrations"].response)
    prompt = sets["prompts"].tokens if "prompts" in sets else TYPICAL_PROMPT
    document = sets["corpus"].tokens if "corpus" in sets else prompt + response
    work = Work(params, rates, prompt=prompt, response=response, document=document, counts=counts)
    found: dict[str, float] = {}
    if counts.get("demonstrations/train"):
        tokens = sets["demonstrations"].tokens if "demonstrations" in sets else work.row
        found["sft"] = _sft(work, tokens)
    imported = params.label.kind == "imported"
    if not imported:
        prompts = params.sample.training_candidates + params.sample.valid_prompts
        found["sample"] = work.drawing(prompts * params.sample.responses_per_prompt, response)
    rankings = (0 if imported else params.sample.prompts) + counts.get("rankings/train", 0)
    ranking = prompt + params.sample.responses_per_prompt * response
    held_out = (0 if imported else params.sample.valid_prompts) + counts.get("rankings/valid", 0)
    methods = {plan.by for plan in params.rounds.values()}
    if rankings:
        found["reward"] = _reward(work, rankings * ranking, held_out * ranking)
    if "ppo" in methods:
        found["ppo"] = params.ppo.steps * _ppo_step(work)
    if "dpo" in methods and rankings:
        found["dpo"] = _dpo(work, rankings * ranking)
    found["evaluate"] = _evaluate(work, held_out, ranking)
    return found


def _sft(work: Work, tokens: float) -> float:
    """Learning from the demonstrations, and the loss on those of validation."""
    plan = work.params.sft
    learned = work.counts["demonstrations/train"] * plan.epochs * tokens
    held_out = work.counts.get("demonstrations/valid", 0) * plan.validations * tokens
    return work.learning(learned, plan.lora is not None) + work.reading(held_out)


def _reward(work: Work, tokens: float, held_out: float) -> float:
    """Learning from rankings, scores of demonstrations, the report; and a second model where there is one."""
    plan, adapted = work.params.reward, work.params.reward.lora is not None
    normalised = min(work.counts.get("demonstrations/train", 0), plan.normalisation_demonstrations)
    seconds = work.learning(tokens * plan.epochs, adapted) + work.reading(normalised * work.row + held_out)
    if plan.held_out_model:
        seconds += work.learning(held_out * plan.epochs, adapted) + work.reading(normalised * work.row)
    return seconds


def _ppo_step(work: Work) -> float:
    """Seconds of a step: responses, reference and scores, values, and the updates of both models."""
    plan = work.params.ppo
    count = plan.prompts_per_step * plan.responses_per_prompt
    own_value = plan.advantages == "gae" and plan.value == "reward"
    frozen = 2 + (1 if plan.advantages == "gae" else 0)
    tokens = count * work.row * plan.epochs
    text = plan.ptx_documents_per_step * work.document if plan.ptx_coef else 0.0
    seconds = work.drawing(count, work.response) + work.reading(count * work.row * frozen)
    seconds += work.learning(tokens + text, plan.lora is not None)
    return seconds + (work.learning(tokens, plan.lora is not None) if own_value else 0.0)


def _dpo(work: Work, tokens: float) -> float:
    """The reference's log-probabilities, learning, and the responses of each validation."""
    plan = work.params.dpo
    answers = plan.validations * plan.validation_prompts
    seconds = work.reading(tokens) + work.learning(plan.epochs * tokens, plan.lora is not None)
    return seconds + work.drawing(answers, work.response) + work.reading(2 * answers * work.row)


def _evaluate(work: Work, held_out: float, ranking: float) -> float:
    """Responses, scores and perplexity of each model; KL, held-out rankings, another judge, best of n."""
    plan, params = work.params.evaluate, work.params
    prompts = min(plan.prompts, work.counts.get("prompts/test", plan.prompts))
    documents = min(plan.documents, work.counts.get("corpus/valid", plan.documents))
    longest = params.decoding.max_new_tokens
    # the base has not learned to end its responses; a round that starts at SFT's policy measures it once
    others = fmean(2 if each.policy == "models/sft" else 3 for each in params.rounds.values())
    seconds = work.drawing(prompts, longest) + others * work.drawing(prompts, work.response)
    seconds += work.reading(prompts * (work.prompt + longest + others * work.row))
    seconds += work.reading((1 + others) * documents * work.document)
    seconds += work.reading(prompts * work.row)  # SFT on the policy's responses
    seconds += work.reading(min(plan.rankings, held_out) * ranking)
    if plan.judge.by == "held_out":
        seconds += work.reading(2 * prompts * work.row)
    if plan.best_of:
        drawn = prompts * max(plan.best_of)
        seconds += work.drawing(drawn, work.response) + work.reading(drawn * work.row)
    return seconds
