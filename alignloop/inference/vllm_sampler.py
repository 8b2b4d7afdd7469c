"""vLLM as a sampler: it gets the policy's weights, draws a response per request, and is checked each time.

Weights go through a folder that the server reads (`reload_weights`); eight fixed rows prove that they
arrived. Each row is a request with a seed of its own, because vLLM gives equal prompts of one request equal
responses. The policy computes the log-probabilities of all that was drawn; where they differ from the
server's by more than `max_gap`, the stage ends.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar, cast
from uuid import uuid4

import torch
from torch import Tensor
from transformers import PreTrainedModel

from alignloop.core import parallel_passes
from alignloop.core.generate import Responses
from alignloop.core.logprobs import per_token_logprobs
from alignloop.core.sampler import SEEDS, sampler_gap
from alignloop.core.tokens import TokenRules
from alignloop.inference import completions, proofs
from alignloop.inference.completions import BadReply, Drawn
from alignloop.inference.http_client import HttpClient, SamplerError
from alignloop.inference.weights_folder import WeightsFolder
from alignloop.phases import phase

R = TypeVar("R")
VERSION = "0.30"
PROBES = 4  # prompts that are drawn twice before the first response
PROBE_TOKENS = 16
PROBE_TEMPERATURE = 2.0  # far from 1, where raw and processed log-probabilities hardly differ
SAME_MODEL = "start the server on a checkpoint of the same architecture, vocabulary and precision"
RESTART = "restart the server and run again; if it happens again, this version of vLLM cannot be used"


def _on_rank_0(ask: Callable[[], R]) -> R:
    """What rank 0 gets from the server, on every rank: the others ask nothing."""
    return parallel_passes.agreed(ask() if parallel_passes.is_writer() else cast(R, None))


def greet(client: HttpClient) -> tuple[str, int]:
    """The name of the server's model, and its longest row in tokens. Its version must be right."""
    found = client.get("/version", "asking for its version")
    version = str(found.get("version", "")) if isinstance(found, dict) else ""
    if not re.match(rf"{re.escape(VERSION)}\.\d", version):
        raise client.refusal(
            "asking for its version",
            f"it is vLLM {version or 'without a version'}, and {VERSION}.x is required",
            f"install vllm=={VERSION}.* in the server's environment: others load weights and report "
            "log-probabilities in other ways",
        )
    found = client.get("/v1/models", "asking for its model")
    try:
        return str(found["data"][0]["id"]), int(found["data"][0]["max_model_len"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise client.refusal(
            "asking for its model", "it names none", "is rollout.url the address of vLLM?"
        ) from None


class VllmSampler:
    """Draws from the model that it follows, by the vLLM server behind `client`. Raises SamplerError."""

    def __init__(self, client: HttpClient, weights: WeightsFolder, max_gap: float) -> None:
        self._client, self._weights = client, weights
        self._max_gap = max_gap
        self._model: PreTrainedModel | None = None
        self._name, self._limit = "", 0
        self._run, self._count = uuid4().hex[:12], 0
        self._proved = False  # that the server has the model's weights
        self._probed = False  # that it draws as it is asked to
        self._fixed: proofs.FixedRows | None = None

    def follow(self, model: PreTrainedModel) -> None:
        """Give the server the model's present weights; they are proved to be there at the next draw."""
        self._model, self._proved = model, False
        self._count += 1
        with phase("weights to the sampler"):
            self._name, self._limit = _on_rank_0(lambda: self._give_weights(model))

    def _give_weights(self, model: PreTrainedModel) -> tuple[str, int]:
        """Let the server load the weights; returns its model's name, and its longest row in tokens."""
        name, limit = (self._name, self._limit) if self._name else greet(self._client)
        doing = f"weights {self._count}"
        folder = self._weights.write(model)
        self._client.post(
            "/collective_rpc",
            {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}},
            f"{doing}: it reads them from {folder}",
            remedy=f"{SAME_MODEL}, on this machine or with that folder in common (rollout.weights_folder)",
        )
        self._client.post("/reset_prefix_cache", None, f"{doing}: it forgets what the old ones computed")
        self._client.post("/update_weight_version", {"new_version": self._version()}, f"{doing}: naming them")
        self._check_version(f"{doing}: asking which it has")
        return name, limit

    def draw(
        self,
        prompts: Sequence[list[int]],
        rules: TokenRules,
        *,
        temperature: float,
        max_new_tokens: int,
        generator: torch.Generator,
        batch: int,
        seeds: Sequence[int] | None = None,
    ) -> Responses:
        """One response per prompt, with its log-probabilities by the model and by the server.

        The server decides how many rows it decodes at a time, not `batch`.
        """
        assert self._model is not None, "follow() comes first"
        longest = max(map(len, prompts)) + max_new_tokens
        if longest > self._limit:
            raise self._client.refusal(
                "drawing responses",
                f"its longest row (--max-model-len) has {self._limit:,} tokens, the longest here {longest:,}",
                "start it with a longer one",
            )
        if not self._proved:
            self._prove(self._model, prompts, rules, max_new_tokens)
        if not self._probed:
            self._probe(prompts, rules, min(max_new_tokens, PROBE_TOKENS))
        if seeds is None:
            seeds = torch.randint(SEEDS, (len(prompts),), generator=generator).tolist()
        drawn = self._responses(
            prompts, seeds, rules, temperature=temperature, max_new_tokens=max_new_tokens, what="response"
        )
        _on_rank_0(lambda: self._check_version("asking whether its weights stayed the same"))
        return drawn

    def _version(self) -> str:
        return f"alignloop-{self._run}-{self._count}"

    def _check_version(self, doing: str) -> None:
        found = self._client.get("/weight_info", doing)
        version = found.get("weight_version") if isinstance(found, dict) else None
        if version != self._version():
            raise self._client.refusal(
                doing,
                f"they are called {version!r}, not {self._version()!r}",
                "another process uses the same server: give each its own",
            )

    def _prove(
        self, model: PreTrainedModel, prompts: Sequence[list[int]], rules: TokenRules, max_new_tokens: int
    ) -> None:
        """Score the fixed rows by the server, and compare."""
        if self._fixed is None:
            self._fixed = proofs.FixedRows(
                model,
                prompts,
                rules,
                max_new_tokens=max_new_tokens,
                longest=self._limit - 1,  # a score costs a token that is drawn after the row
            )
        rows = self._fixed.rows

        def score(number: int) -> Tensor:
            doing = f"scoring fixed row {number + 1} of {len(rows)}"
            reply = self._client.post(
                completions.PATH, completions.score_request(self._name, rows[number]), doing
            )
            try:
                return completions.read_score(reply, rows[number])
            except BadReply as error:
                raise self._client.refusal(doing, str(error), RESTART) from None

        scored = _on_rank_0(lambda: self._client.each(score, range(len(rows))))
        if fault := self._fixed.fault(model, scored, self._max_gap):
            raise self._client.refusal(
                f"weights {self._count}",
                fault,
                SAME_MODEL,
            )
        self._proved = True

    def _probe(self, prompts: Sequence[list[int]], rules: TokenRules, max_new_tokens: int) -> None:
        """Draw a few prompts twice, far from temperature 1: what a server does wrong shows here at once."""
        twice = [prompt for prompt in proofs.different_prompts(prompts, PROBES) for _ in range(2)]
        self._responses(
            twice,
            list(range(len(twice))),
            rules,
            temperature=PROBE_TEMPERATURE,
            max_new_tokens=max_new_tokens,
            what="probe",
        )
        self._probed = True

    def _responses(
        self,
        prompts: Sequence[list[int]],
        seeds: Sequence[int],
        rules: TokenRules,
        *,
        temperature: float,
        max_new_tokens: int,
        what: str,
    ) -> Responses:
        settings = completions.draw_settings(self._name, rules, temperature, max_new_tokens)

        def draw(row: int) -> Drawn:
            doing = f"drawing {what} {row + 1:,} of {len(prompts):,}"
            request = {**settings, "prompt": prompts[row], "seed": seeds[row]}
            reply = self._client.post(completions.PATH, request, doing)
            decoding.advance()
            try:
                return completions.read_draw(reply, prompts[row], rules, max_new_tokens)
            except BadReply as error:
                raise self._client.refusal(doing, str(error), RESTART) from None

        with phase("decoding", len(prompts)) as decoding:
            drawn = _on_rank_0(lambda: self._client.each(draw, range(len(prompts))))
        ids, its = [each.ids for each in drawn], [each.logprobs for each in drawn]
        assert self._model is not None
        policys = per_token_logprobs(self._model, prompts, ids, rules, temperature)
        gap = sampler_gap(torch.cat(policys), torch.cat(its))
        if not gap <= self._max_gap:
            raise self._too_far(gap, prompts, ids, its)
        if proofs.equal_by_no_chance(prompts, ids, policys):
            raise self._client.refusal(
                f"drawing {len(prompts):,} of {what}",
                "equal prompts got equal responses, although each request has a seed of its own",
                "the server ignores seeds: do not override them, and use no proxy that caches replies",
            )
        return Responses(ids, policys, [each.ended for each in drawn], its)

    def _too_far(
        self, gap: float, prompts: Sequence[list[int]], ids: Sequence[list[int]], its: list[Tensor]
    ) -> SamplerError:
        """The error of a gap that is too large, with its cause where that can be told."""
        assert self._model is not None
        raw = per_token_logprobs(self._model, prompts, ids, proofs.every_token(self._model), temperature=1.0)
        if sampler_gap(torch.cat(raw), torch.cat(its)) <= self._max_gap:
            problem = "its log-probabilities are raw: without the temperature and the allowed tokens"
            remedy = "start it with --logprobs-mode processed_logprobs"
        else:
            problem = (
                f"it draws from another distribution than the policy: the mean of exp|policy − server| is "
                f"{gap:.3f} a token, over rollout.max_gap ({self._max_gap:g})"
            )
            remedy = (
                "start it with the policy's precision (--dtype), --no-enable-prefix-caching and without "
                "quantisation, or raise rollout.max_gap"
            )
        return self._client.refusal(f"comparing {len(prompts):,} responses", problem, remedy)
