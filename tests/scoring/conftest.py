"""Responses to four prompts, as parts of a score read them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from alignloop.records import Message, Prompt
from alignloop.scoring.drawn import Drawn

TEXTS = ["It is 13.", "No.", "#### 1,300", "so 13.0"]


@pytest.fixture
def drawn() -> Drawn:
    prompts = [
        Prompt(
            id=f"p{number}",
            messages=(Message(role="user", content=f"What is {number}?"),),
            user="u",
            source="s",
            check={"answer": "13"},
        )
        for number in range(4)
    ]
    return Drawn([[number] for number in range(4)], [[9]] * 4, prompts, TEXTS)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root with an empty folder of score functions; what is imported of it is forgotten."""
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "scores"]:
        del sys.modules[name]


def save_classifier(folder: Path, family: str = "llama", labels: int = 1, pad: bool = True) -> Path:
    """A sequence classifier with a word tokenizer and a template of its own, as its trainer would save it."""
    words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[PAD]", "[U]", "[A]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special)  # type: ignore[call-arg]
    words.train_from_iterator(["What is 0 1 2 3 ? It is 13 . No so a b c"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]", additional_special_tokens=["[U]", "[A]"]
    )
    mark = "{{ '[U] ' if m['role'] == 'user' else ' [A] ' }}"
    tokenizer.chat_template = "{% for m in messages %}" + mark + "{{ m['content'] }}{% endfor %}"
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_labels": labels,
    }
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32}
    torch.manual_seed(3)
    if family == "llama":
        model = LlamaForSequenceClassification(LlamaConfig(**sizes, pad_token_id=1 if pad else None))
    else:
        model = BertForSequenceClassification(BertConfig(**sizes, pad_token_id=1))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8 if weight.dim() > 1 else 1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
