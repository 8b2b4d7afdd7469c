"""Finds the turns of a dialogue that is written as one text, each turn behind a mark of its role.

Read are the marks of Anthropic (`Human:`), Guanaco (`### Human:`), Alpaca (`### Instruction:`), Vicuna
(`USER:`), OpenChat (`GPT4 User:`), Open Instruction Generalist (`<human>:`), SteerLM
(`<extra_id_1>User`), and of the templates of ChatML, Llama 2, Llama 3, Gemma, Zephyr and DeepSeek. A text is
a dialogue if it begins with a mark.
"""

import re
from typing import NamedTuple

Dialogue = list[tuple[str, str]]
END = "</s>"
ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "input": "user",
    "inst": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "gpt": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "response": "assistant",
    "/inst": "assistant",
    "system": "system",
}


class Style(NamedTuple):
    """The marks of one way to write dialogues: where a turn begins, whose it is, and what ends it."""

    mark: re.Pattern[str]
    ends: tuple[str, ...] = ()


def _lines(*names: str) -> Style:
    """Names of roles with a colon at the beginning of a line."""
    return Style(re.compile(rf"^[ \t]*({'|'.join((*names, 'System'))}):", re.MULTILINE | re.IGNORECASE))


STYLES = (  # of those that the text begins with, the one with the most marks counts
    Style(re.compile(r"###\s*(Human|User|Assistant|System):")),
    Style(re.compile(r"^###\s*(Instruction|Input|Response):", re.MULTILINE)),
    Style(re.compile(r"^###\s*(User|Response|System):?[ \t]*$", re.MULTILINE)),
    Style(re.compile(r"(?:^|(?<=\s)|(?<=</s>))(USER|ASSISTANT|SYSTEM):"), (END,)),
    _lines("Human", "Assistant"),
    _lines("User", "Assistant"),
    _lines("Human", "AI"),
    _lines("Human", "Bot"),
    _lines("User", "AI"),
    _lines("User", "Bot"),
    _lines("Human", "GPT"),
    _lines("User", "Chatbot"),
    Style(re.compile(r"<(human|bot|system)>:")),
    Style(re.compile(r"GPT4(?: Correct)? (User|Assistant|System):"), ("<|end_of_turn|>",)),
    Style(re.compile(r"<extra_id_[01]>(System|User|Assistant)\n")),
    Style(re.compile(r"<\|im_start\|>(user|assistant|system)\n"), ("<|im_end|>", "<|endoftext|>")),
    Style(re.compile(r"<start_of_turn>(user|model|system)\n"), ("<end_of_turn>", "<eos>")),
    Style(
        re.compile(r"<\|start_header_id\|>(user|assistant|system)<\|end_header_id\|>\n*"),
        ("<|eot_id|>", "<|end_of_text|>"),
    ),
    Style(
        re.compile(r"<[|｜](user|assistant|system|prompter|human|bot)[|｜]>\n?", re.IGNORECASE),
        (END, "<|end|>", "<|endoftext|>", "<｜end▁of▁sentence｜>"),
    ),
    Style(re.compile(r"(?:<s>\s*)?\[(INST|/INST)\]"), (END,)),
)
BEGIN = re.compile(r"\A\s*(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|endoftext\|>)\s*")
PREAMBLE = re.compile(r"\ABelow is an instruction that describes a task[^\n]*\n+")  # Alpaca's
# Vicuna's and Guanaco's, which is a system prompt
CHAT = re.compile(
    r"\A(A chat between a curious (?:user|human) and an artificial intelligence assistant\.[^\n#]*?)"
    r"\s*(?=USER:|###|Human:)"
)
FIRST = frozenset("#<[husgab")  # what a mark or a preamble begins with
MARKED = re.compile(r"\s*Assistant:")
SYSTEM = re.compile(r"\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>\s*", re.DOTALL)  # Llama 2's, in the first turn


def dialogue(text: str) -> Dialogue | None:
    """The turns of a text with marks, an empty last one if it waits for that; None for any other text."""
    if text.lstrip()[:1].lower() not in FIRST:  # most texts, in a hundredth of the time
        return None
    start = PREAMBLE.sub("", BEGIN.sub("", text).lstrip())
    chat = CHAT.match(start)
    if chat:
        start = start[chat.end() :]
    styles = [style for style in STYLES if (first := style.mark.match(start)) and _asks(first[1])]
    if not styles:
        return None
    style = max(styles, key=lambda style: len(style.mark.findall(start)))
    _, *parts = style.mark.split(start)
    names = [name.lower() for name in parts[::2]]
    said = [_without(text, style.ends) for text in parts[1::2]]
    turns = [(ROLES[name], text) for name, text in zip(names, said, strict=True)]
    if len(turns) < 2:
        return None
    return _with_system(_with_input(turns, names), chat[1] if chat else "")


def spoken_turns(text: str) -> Dialogue | None:
    """The turns of a text with marks, but for an empty last one of the assistant, which it waits for."""
    turns = dialogue(text)
    return turns[:-1] if turns and turns[-1] == ("assistant", "") else turns


def asked(text: str) -> Dialogue:
    """The turns of a prompt: those in it if it is a dialogue that the user ends, or else one of the user."""
    turns = spoken_turns(text)
    return turns if turns and turns[-1][0] == "user" else [("user", text)]


def response(text: str) -> str | None:
    """A response without the assistant's mark before it; None if other turns stand in it."""
    turns = dialogue(text if MARKED.match(text) is None else f"Human: x\n\n{text.lstrip()}")
    if turns is None:
        return text
    return (
        turns[1][1] if [role for role, _ in turns] == ["user", "assistant"] and MARKED.match(text) else None
    )


def _asks(name: str) -> bool:
    return ROLES[name.lower()] != "assistant"


def _without(said: str, ends: tuple[str, ...]) -> str:
    said = said.strip()
    for end in ends:
        said = said.removesuffix(end).strip()
    return said


def _with_input(turns: Dialogue, names: list[str]) -> Dialogue:
    """The turns, with the input of an instruction below it."""
    if names[:2] != ["instruction", "input"]:
        return turns
    return [("user", f"{turns[0][1]}\n\n{turns[1][1]}"), *turns[2:]]


def _with_system(turns: Dialogue, chat: str) -> Dialogue:
    """The turns, with the system prompt that stands before them or in the first one; an empty one is none."""
    found = SYSTEM.match(turns[0][1]) if turns else None
    if found:
        turns = [("system", found[1].strip()), ("user", turns[0][1][found.end() :]), *turns[1:]]
    if turns and turns[0] == ("system", ""):
        turns = turns[1:]
    return [("system", chat), *turns] if chat else turns
