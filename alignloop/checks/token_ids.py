"""Whether training, sampling and `apply_chat_template` read a dialogue as the same ids."""

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.checks.chat_turns import AGAIN, ASSISTANT, USER
from alignloop.checks.findings import Finding, error
from alignloop.core.chat_template import RewrittenTurn, TokenizerError
from alignloop.core.tokens import decode, encode_dialogue, encode_prompt, encode_response, end_of

TALK = [USER, ASSISTANT, AGAIN, {"role": "assistant", "content": "In the spring, I think."}]


def check_ids(tokenizer: PreTrainedTokenizerBase) -> Iterator[Finding]:
    """The end token, the loss mask, prompts as prefixes, and ids that agree."""
    try:
        row, prompt = encode_dialogue(tokenizer, TALK[:2], "last"), encode_prompt(tokenizer, TALK[:1])
        end = end_of(tokenizer)
    except TokenizerError as fault:
        yield error("ids", fault)
        return
    learned = [token for token, on in zip(row.ids, row.mask, strict=True) if on]
    name = tokenizer.convert_ids_to_tokens(end)
    if learned[-1:] == [end]:
        yield Finding("end token", "ok", f"{name} ends a response; it is learned, and drawn")
    else:
        yield Finding(
            "end token",
            "error",
            f"{name} ends a response and is not learned: responses would never end",
            "write {{ eos_token }} after an assistant's turn in chat_template.jinja",
        )
    if 0 < len(learned) < len(row.ids):
        yield Finding(
            "mask", "ok", f"{len(learned)} of {len(row.ids)} tokens of a short dialogue are learned"
        )
    else:
        yield Finding(
            "mask",
            "error",
            f"{len(learned)} of {len(row.ids)} tokens are learned: prompts and responses are not told apart",
            "put a chat_template.jinja that writes both into the checkpoint's folder",
        )
    yield from _prefixes(tokenizer, row.ids, prompt)
    yield from _agreement(tokenizer, row.ids, prompt)
    yield from _padding(tokenizer, end)


def _prefixes(tokenizer: PreTrainedTokenizerBase, row: list[int], prompt: list[int]) -> Iterator[Finding]:
    """A prompt's ids begin its dialogue's ids, in the first turn and in the last."""
    faults = [] if row[: len(prompt)] == prompt else ["the first turn"]
    try:
        whole, later = encode_dialogue(tokenizer, TALK, "last").ids, encode_prompt(tokenizer, TALK[:3])
        faults += [] if whole[: len(later)] == later else ["a later turn"]
        encode_dialogue(tokenizer, TALK, "all")
    except RewrittenTurn:
        yield Finding(
            "ids",
            "note",
            "the template writes earlier responses in another form (thoughts are left out, say)",
            "keep sft.assistant_turns: last",
        )
    except TokenizerError:
        return  # dialogues of several turns: the template's own finding
    if faults:
        yield Finding(
            "ids",
            "error",
            f"a prompt's ids do not begin those of its dialogue, in {' and '.join(faults)}",
            "put a chat_template.jinja that writes a prompt as the beginning of its dialogue into the folder",
        )
    else:
        yield Finding("ids", "ok", "a prompt's ids begin those of its dialogue")


def _agreement(tokenizer: PreTrainedTokenizerBase, row: list[int], prompt: list[int]) -> Iterator[Finding]:
    """Ours against `apply_chat_template`, and a response against itself after decoding."""
    theirs, opened = _template_ids(tokenizer, TALK[:2], False), _template_ids(tokenizer, TALK[:1], True)
    response = encode_response(tokenizer, TALK[1]["content"])
    if encode_response(tokenizer, decode(tokenizer, response)) != response:
        yield Finding(
            "ids",
            "warning",
            "a response that is decoded and encoded again has other ids: reward models read other tokens",
            "look for a normaliser in tokenizer.json",
        )
    if opened != prompt:
        yield Finding(
            "ids",
            "warning",
            "apply_chat_template gives a prompt other ids than training and sampling here",
            "compare them; other programs that use the model would read other prompts",
        )
    elif theirs[: len(row)] != row:
        yield Finding(
            "ids",
            "note",
            "apply_chat_template splits the beginning of a response in another way than one that was drawn",
            "nothing: responses are learned as they are drawn",
        )
    else:
        yield Finding("ids", "ok", "training, sampling and apply_chat_template give the same ids")


def _template_ids(tokenizer: PreTrainedTokenizerBase, messages: Any, opens: bool) -> list[int]:
    ids: Any = tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=opens)
    return list(ids["input_ids"] if hasattr(ids, "keys") else ids)


def _padding(tokenizer: PreTrainedTokenizerBase, end: int) -> Iterator[Finding]:
    pad = tokenizer.pad_token_id
    if pad is None:
        said = "there is no pad token, and none is needed: masks say which tokens are real"
    elif pad == end:
        name = tokenizer.pad_token
        said = f"the pad token is the end token ({name}): accepted, masks say which tokens are real"
    else:
        said = f"{tokenizer.pad_token} fills rows up"
    yield Finding("padding", "ok", said)
