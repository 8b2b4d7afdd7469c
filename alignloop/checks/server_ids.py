"""Whether a sampling server that runs already is one that can be used, and reads texts as the same ids."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.checks.chat_turns import USER
from alignloop.checks.findings import Finding, error
from alignloop.checks.token_ids import TALK
from alignloop.core.tokens import encode, encode_prompt
from alignloop.errors import AlignloopError
from alignloop.params.rollout import RolloutEngine
from alignloop.params.sample import Decoding

TIMEOUT_S = 10.0  # of a request


def check_server(
    rollout: RolloutEngine, decoding: Decoding, tokenizer: PreTrainedTokenizerBase
) -> Iterator[Finding]:
    """Ask the server of `rollout.url` for its version, its longest row, and the ids of two dialogues."""
    if rollout.engine != "vllm":
        return
    if rollout.command is not None:
        yield Finding(
            "server", "note", f"{rollout.url}: each stage starts it, so it was not asked", "nothing"
        )
        return
    # httpx takes half a second to import, and most runs need none of this
    from alignloop.inference.http_client import HttpClient
    from alignloop.inference.vllm_sampler import greet

    with closing(HttpClient(rollout.url, timeout_s=TIMEOUT_S, max_concurrency=1)) as client:
        try:
            name, longest = greet(client)
            yield from _room(rollout.url, longest, decoding)
            yield _ids(client, name, tokenizer)
        except AlignloopError as fault:
            yield error("server", fault)


def _room(url: str, longest: int, decoding: Decoding) -> Iterator[Finding]:
    if longest <= decoding.max_new_tokens:
        yield error(
            "server",
            f"{url}: its longest row (--max-model-len) has {longest:,} tokens, and decoding.max_new_tokens "
            f"is {decoding.max_new_tokens:,}; start it with a longer one",
        )


def _ids(client: Any, name: str, tokenizer: PreTrainedTokenizerBase) -> Finding:
    """Its ids against those of training: of a text they must be the same, for prompts are sent as ids."""

    def ids(about: dict[str, Any]) -> list[int]:
        reply = client.post("/tokenize", {"model": name, **about}, "asking for token ids")
        tokens = reply.get("tokens") if isinstance(reply, dict) else None
        if not isinstance(tokens, list):
            raise client.refusal(
                "asking for token ids", "it names none", "is rollout.url the address of vLLM?"
            )
        return tokens

    text = TALK[1]["content"]
    if ids({"prompt": text, "add_special_tokens": False}) != encode(tokenizer, text):
        return error(
            "server",
            f"{client.url}: it reads a text as other ids than training does; start it on this checkpoint, "
            "with its own tokenizer",
        )
    for talk in ([USER], TALK[:3]):
        if ids({"messages": talk, "add_generation_prompt": True}) != encode_prompt(tokenizer, talk):
            return Finding(
                "server",
                "warning",
                f"{client.url}: its chat template gives a prompt other ids than training; the loop sends "
                "ids, but whoever chats with this server gets other prompts",
                "start it without --chat-template, on this checkpoint",
            )
    return Finding("server", "ok", f"{client.url}: {name} reads texts and dialogues as the same ids")
