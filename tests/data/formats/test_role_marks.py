"""Texts with marks of roles become dialogues, in whatever format they stand."""

from pathlib import Path
from typing import Any

import pytest

from alignloop.data.formats.importer import Refused
from alignloop.data.formats.sniffing import sniff
from alignloop.records import Ranking
from tests.data.formats.samples import SAMPLES, import_rows, ranked_responses, record_of, turns_of, write

STYLES = {
    "hh": "\n\nHuman: Hi?\n\nAssistant: Hi!\n\nHuman: And?\n\nAssistant:",
    "human": "Human: Hi?\nAssistant: Hi!\nHuman: And?\nAssistant: ",
    "guanaco": "### Human: Hi?### Assistant: Hi!### Human: And?### Assistant:",
    "instruction": "### Instruction:\nHi?\n\n### Response:\nHi!\n\n### Instruction:\nAnd?\n\n### Response:\n",
    "user": "User: Hi?\nAssistant: Hi!\nUser: And?\nAssistant:",
    "vicuna": "USER: Hi? ASSISTANT: Hi!</s>USER: And? ASSISTANT:",
    "chatml": "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nAnd?"
    "<|im_end|>\n<|im_start|>assistant\n",
    "lower case": "human: Hi?\nassistant: Hi!\nhuman: And?\nassistant:",
    "ai": "Human: Hi?\nAI: Hi!\nHuman: And?\nAI:",
    "bot": "User: Hi?\nBot: Hi!\nUser: And?\nBot:",
    "oig": "<human>: Hi?\n<bot>: Hi!\n<human>: And?\n<bot>:",
    "openchat": "GPT4 Correct User: Hi?<|end_of_turn|>GPT4 Correct Assistant: Hi!<|end_of_turn|>"
    "GPT4 Correct User: And?<|end_of_turn|>GPT4 Correct Assistant:",
    "steerlm": "<extra_id_0>System\n\n<extra_id_1>User\nHi?\n<extra_id_1>Assistant\nHi!\n"
    "<extra_id_1>User\nAnd?\n<extra_id_1>Assistant\n",
    "gemma": "<bos><start_of_turn>user\nHi?<end_of_turn>\n<start_of_turn>model\nHi!<end_of_turn>\n"
    "<start_of_turn>user\nAnd?<end_of_turn>\n<start_of_turn>model\n",
    "llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHi!<|eot_id|><|start_header_id|>user<|end_header_id|>"
    "\n\nAnd?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "zephyr": "<|user|>\nHi?</s>\n<|assistant|>\nHi!</s>\n<|user|>\nAnd?</s>\n<|assistant|>\n",
    "deepseek": "<｜User｜>Hi?<｜Assistant｜>Hi!<｜end▁of▁sentence｜><｜User｜>And?<｜Assistant｜>",
    "llama": "<s>[INST] Hi? [/INST] Hi! </s><s>[INST] And? [/INST]",
}
TURNS = ["user: Hi?", "assistant: Hi!", "user: And?"]


@pytest.mark.parametrize("style", STYLES)
def test_a_transcript_becomes_the_turns_in_it_wherever_it_stands(tmp_path: Path, style: str):
    text = STYLES[style]
    path = write(tmp_path / "rows.jsonl", [{"text": f"{text} So."}])
    assert sniff(path) == "transcripts"
    whole, waiting = import_rows(tmp_path, "transcripts", {"text": f"{text} So."}, {"text": text})
    assert (turns_of(whole), turns_of(waiting)) == ([*TURNS, "assistant: So."], TURNS)
    pair = {"prompt": text, "chosen": " So.", "rejected": " No.", "response": " So."}
    ranked, both, shown, asked = import_rows(
        tmp_path,
        "trl",
        pair,
        {"chosen": f"{text} So.", "rejected": f"{text} No."},
        {"prompt": text, "completion": "So."},
        {"prompt": text},
    )
    assert turns_of(ranked) == turns_of(both) == turns_of(asked) == TURNS
    assert ranked_responses(ranked) == ranked_responses(both) == [("So.", 1), ("No.", 2)]
    assert turns_of(shown) == [*TURNS, "assistant: So."]
    assert isinstance(record_of(ranked), Ranking)


def test_a_response_that_goes_on_with_other_turns_is_refused(tmp_path: Path):
    row = {"prompt": STYLES["hh"], "chosen": "\n\nAssistant: So.", "rejected": "No."}
    marked, runs_on = import_rows(
        tmp_path, "trl", row, {**row, "chosen": "\n\nAssistant: So.\n\nHuman: And?\n\nAssistant: Bye."}
    )
    assert ranked_responses(marked)[0] == ("So.", 1)
    assert isinstance(runs_on, Refused)


# a row of each format whose prompt is a text, with that text to be put in
ASKED: dict[str, Any] = {
    "alpaca": lambda text: {"instruction": text, "output": "So."},
    "dolly": lambda text: {"instruction": text, "context": "", "response": "So.", "category": "x"},
    "fastchat": lambda text: {"question_id": 1, "turns": [text]},
    "arena-hard": lambda text: {"uid": "u", "category": "c", "prompt": text},
    "prompts": lambda text: text,
    "ultrafeedback": lambda text: {**SAMPLES["ultrafeedback"], "instruction": text},
    "pandalm": lambda text: {**SAMPLES["pandalm"], "instruction": text, "input": ""},
    "tulu": lambda text: {**SAMPLES["tulu"], "prompt": text},
    "nectar": lambda text: {**SAMPLES["nectar"], "prompt": text},
    "safe-rlhf": lambda text: {**SAMPLES["safe-rlhf"], "prompt": text},
    "instruction-preference": lambda text: {"question": text, "chosen": "a", "rejected": "b"},
    "label-studio-min": lambda text: {**SAMPLES["label-studio-min"], "prompt": text},
    "label-studio": lambda text: {
        **SAMPLES["label-studio"],
        "data": {**SAMPLES["label-studio"]["data"], "prompt": text},
    },
    "argilla": lambda text: {
        **SAMPLES["argilla"],
        "fields": {**SAMPLES["argilla"]["fields"], "prompt": text},
    },
}


@pytest.mark.parametrize("style", ["hh", "guanaco", "zephyr"])
@pytest.mark.parametrize("format", ASKED)
def test_a_prompt_that_is_a_transcript_becomes_the_turns_in_it_in_every_format(
    tmp_path: Path, format: str, style: str
):
    item = import_rows(tmp_path, format, ASKED[format](STYLES[style]))[0]
    assert turns_of(item)[:3] == TURNS


@pytest.mark.parametrize(
    "text",
    ["Human: an odd name for a cat?", "Who said: Human: a being?", "System: what is it?", "AI: good or bad?"],
)
def test_a_text_with_a_mark_alone_is_what_the_user_says(tmp_path: Path, text: str):
    [item] = import_rows(tmp_path, "arena-hard", ASKED["arena-hard"](text))
    assert turns_of(item) == [f"user: {text}"]


def test_what_stands_before_a_transcript_is_its_system_prompt_or_a_known_preamble(tmp_path: Path):
    chat = "A chat between a curious user and an artificial intelligence assistant. The assistant is polite."
    vicuna, alpaca = import_rows(
        tmp_path,
        "transcripts",
        {"text": f"{chat} USER: Hi? ASSISTANT: Hi!</s>"},
        {
            "text": "Below is an instruction that describes a task. Write a response.\n\n"
            "### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n3"
        },
    )
    assert turns_of(vicuna) == [f"system: {chat}", "user: Hi?", "assistant: Hi!"]
    assert turns_of(alpaca) == ["user: Add.\n\n1 and 2", "assistant: 3"]
