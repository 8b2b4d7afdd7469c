"""The registry's models behind vLLM servers: one server for each version that is in memory.

A server is started on a copy of the version's bytes whose hash was checked, is asked what it serves, and
ends with its engine. So an alias moves, and versions stand side by side, as with models in this process.
"""

import asyncio
import logging
import secrets
import socket
from contextlib import ExitStack, aclosing
from pathlib import Path

from transformers import AutoConfig, PreTrainedTokenizerBase

from alignloop.core.checkpoint_folder import check_folder, check_kind, load_tokenizer
from alignloop.core.models import allowed_tokens, context_of
from alignloop.core.tokens import TokenRules, encode_prompt, end_of, pad_of
from alignloop.inference.completions import restriction
from alignloop.inference.http_client import SamplerError
from alignloop.inference.server_process import ServerProcess
from alignloop.inference.token_stream import (
    Served,
    StreamError,
    StreamPlan,
    TokenStreams,
    WrongReply,
    greet,
    score,
)
from alignloop.inference.vllm_sampler import VERSION
from alignloop.params.serving import Serving
from alignloop.serving.engine import EngineSettings, ServerUnavailable
from alignloop.serving.registered_models import RegisteredModels
from alignloop.serving.served_version import ServedVersion
from alignloop.serving.vllm_engine import VllmEngine

HOST = "127.0.0.1"
LOGS = Path(".cache")
PROBE = StreamPlan(temperature=2.0, top_p=1.0, max_tokens=16, seed=1, top_logprobs=0)
MOST_NATS = 0.3  # a token, between two ways in which one server computes a log-probability
log = logging.getLogger(__name__)


class VllmModels(RegisteredModels):
    """The models of the registry, each served by a vLLM server that `serving.command` starts."""

    def __init__(self, root: Path, prefix: str, plan: Serving) -> None:
        super().__init__(root, prefix)
        self._logs, self._plan = root / LOGS, plan

    def open(self, version: ServedVersion, settings: EngineSettings) -> VllmEngine:
        """An engine on a server of its own. Raises ServerUnavailable; the log has the cause."""
        try:
            with ExitStack() as stack, self.copied(version) as folder:
                return self._open(version, folder, settings, stack)
        except (SamplerError, StreamError) as error:
            log.error("%s: the inference server: %s", version.label, error)
            raise ServerUnavailable(
                f"{version.label}: its inference server cannot be used; the log has the cause"
            ) from error

    def _open(
        self, version: ServedVersion, folder: Path, settings: EngineSettings, stack: ExitStack
    ) -> VllmEngine:
        check_folder(str(folder))
        check_kind(str(folder))
        tokenizer, plan = load_tokenizer(folder), self._plan
        vocabulary = AutoConfig.from_pretrained(folder).get_text_config().vocab_size
        rules = TokenRules(allowed_tokens(tokenizer, vocabulary), end_of(tokenizer), pad_of(tokenizer))
        _check_rules(rules)
        url, key = f"http://{HOST}:{_free_port()}", secrets.token_urlsafe(24)
        assert plan.command is not None
        server = ServerProcess(
            plan.command,
            url,
            folder,
            plan.start_timeout_s,
            section="serving",
            log=self._logs / f"served-{version.name.replace('/', '-')}.log",
            key=key,
        )
        stack.enter_context(server)
        served = greet(url, key, plan.timeout_s)
        _check(served, folder)
        _check_logprobs(url, key, served.name, tokenizer, rules=rules, timeout_s=plan.start_timeout_s)
        return VllmEngine(
            TokenStreams(url, key, served.name, at_once=settings.max_running, timeout_s=plan.timeout_s),
            tokenizer,
            min(served.longest, context_of(folder)),
            settings,
            rules=rules,
            owned=stack.pop_all(),
            died=server.died,
        )


def _check_rules(rules: TokenRules) -> None:
    """Raise WrongReply where a request cannot name the tokens that a response may contain."""
    try:
        restriction(rules)
    except SamplerError:
        raise WrongReply(
            "vLLM takes too few forbidden tokens with a request for this vocabulary; set serving.engine: own"
        ) from None


def _check(served: Served, folder: Path) -> None:
    if not served.version.startswith(f"{VERSION}."):
        raise WrongReply(
            f"it is vLLM {served.version}, and {VERSION}.x is required; install vllm=={VERSION}.*"
        )
    if served.folder != str(folder):
        raise WrongReply(
            f"it serves another model, {served.folder}: serving.command must start it on {{model}}"
        )


def _check_logprobs(
    url: str,
    key: str,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    rules: TokenRules,
    timeout_s: float,
) -> None:
    """Draw a response far from temperature 1, and compare its log-probabilities with the server's scores.

    The first response may take long: kernels are compiled for it.
    """
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "Hello."}])
    streams = TokenStreams(url, key, name, at_once=1, timeout_s=timeout_s)

    async def drawn() -> list[tuple[int, float]]:
        async with aclosing(streams.draw(prompt, PROBE, rules)) as chunks:
            told = [(each.token, each.logprob or 0.0) async for chunk in chunks for each in chunk.tokens]
        await streams.close()
        return told

    response = asyncio.run(drawn())
    ids = [token for token, _ in response]
    scored = score(url, key, name, [*prompt, *ids], timeout_s)[-len(ids) :]
    off = sum(abs(value - told) for (_, told), value in zip(response, scored, strict=True)) / len(ids)
    if not off <= MOST_NATS:
        raise WrongReply(
            f"its log-probabilities are {off:.2g} nats a token off those at temperature 1: start it without "
            "--logprobs-mode"
        )


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        return free.getsockname()[1]
