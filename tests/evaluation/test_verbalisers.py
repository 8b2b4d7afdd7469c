"""Classification by the probability of words, against the model's own logits."""

from pathlib import Path
from typing import Any

import pytest
import torch

from alignloop.core.models import load_policy
from alignloop.evaluation.verbalisers import (
    PromptingError,
    Template,
    Verbalisers,
    calibrated,
    class_probabilities,
    content_free_items,
)

TEMPLATE = Template("Who: {text}\nDoor: {label}")
SHORT = Verbalisers({"a": ["Yes"], "b": ["No"]})
WORDS = Verbalisers({"yes": ["Yes", "green"], "no": ["Nobody"]})


@pytest.fixture(scope="module")
def policy(tiny_policy: Path) -> Any:
    return load_policy(tiny_policy)


def logprob(model: Any, tokenizer: Any, before: str, after: str) -> float:
    """The log-probability of the tokens of the whole text that the stripped prompt has not."""
    ids = tokenizer.encode(before + after, add_special_tokens=False)
    known = tokenizer.encode(before.rstrip(), add_special_tokens=False)
    assert ids[: len(known)] == known
    logits = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, ids[place]]) for place in range(len(known), len(ids)))


@torch.no_grad()
def test_a_class_is_as_probable_as_its_words_are_on_average(policy: Any) -> None:
    model, tokenizer = policy
    prompts = [TEMPLATE.filled({"text": text}) for text in ("Ada", "the sea")]
    found = class_probabilities(model, tokenizer, prompts, WORDS)
    for prompt, row in zip(prompts, found, strict=True):
        yes, green, nobody = (
            torch.tensor(logprob(model, tokenizer, prompt, word)).exp() for word in ("Yes", "green", "Nobody")
        )
        wanted = torch.stack([(yes + green) / 2, nobody])
        torch.testing.assert_close(row, (wanted / wanted.sum()).double(), rtol=1e-4, atol=1e-6)
    assert (found[0] - found[1]).abs().max() > 0


@torch.no_grad()
def test_as_a_users_turn_the_word_begins_the_response(policy: Any) -> None:
    model, tokenizer = policy
    prompt = TEMPLATE.filled({"text": "Ada"})
    [row] = class_probabilities(
        model, tokenizer, [prompt], Verbalisers({"a": ["Yes"], "b": ["No"]}), chat=True
    )
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt.rstrip()}], tokenize=False, add_generation_prompt=True
    )
    logits = []
    for word in ("Yes", "No"):
        before = tokenizer.encode(asked, add_special_tokens=False)
        ids = before + tokenizer.encode(word, add_special_tokens=False)
        chances = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        logits.append(sum(float(chances[n - 1, ids[n]]) for n in range(len(before), len(ids))))
    torch.testing.assert_close(row, torch.tensor(logits).double().softmax(0), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_what_a_response_begins_with_stands_between_prompt_and_word(policy: Any) -> None:
    model, tokenizer = policy
    prompt, begun = "Who: Ada\nThink: ", "the sea is green\nSo: "
    [joined] = class_probabilities(model, tokenizer, [prompt + begun], WORDS)
    [apart] = class_probabilities(model, tokenizer, [prompt], WORDS, begun=[begun])
    assert torch.equal(joined, apart)
    [row] = class_probabilities(model, tokenizer, [prompt], SHORT, chat=True, begun=[begun])
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt.rstrip()}], tokenize=False, add_generation_prompt=True
    )
    wanted = torch.tensor([logprob(model, tokenizer, asked + begun, word) for word in ("Yes", "No")])
    torch.testing.assert_close(row, wanted.double().softmax(0), rtol=1e-4, atol=1e-6)


def test_a_template_with_a_reasoning_has_an_opening_without_it() -> None:
    template = Template("Q: {text}\nThink: {reasoning}\nSo: {label}")
    assert (template.reasons, template.fields) == (True, ["text"])
    assert template.opening({"text": "a"}) == "Q: a\nThink: "
    assert template.filled({"text": "a", "reasoning": "b"}) == "Q: a\nThink: b\nSo: "
    assert not TEMPLATE.reasons
    with pytest.raises(PromptingError, match="stands there once at most"):
        Template("{text} {reasoning} {reasoning} {label}")


def test_demonstrations_stand_before_the_item_with_the_first_word_of_their_class() -> None:
    shots = TEMPLATE.with_shots([({"text": "Ada"}, "Yes"), ({"text": "Bo"}, "Nobody")])
    assert shots.filled({"text": "Cy {x}"}) == (
        "Who: Ada\nDoor: Yes\n\nWho: Bo\nDoor: Nobody\n\nWho: Cy {x}\nDoor: "
    )
    assert Template("{a} and {b}, {a}: {label}").fields == ["a", "b"]
    assert content_free_items(["a", "b"])[0] == {"a": "N/A", "b": "N/A"}


def test_calibration_takes_back_what_is_said_of_nothing() -> None:
    chances = torch.tensor([[0.8, 0.2], [0.6, 0.4]], dtype=torch.float64)
    free = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64)  # mean 0.7, 0.3
    found = calibrated(chances, free)
    first = torch.tensor([0.8 / 0.7, 0.2 / 0.3], dtype=torch.float64)
    torch.testing.assert_close(found[0], first / first.sum())
    assert found.argmax(1).tolist() == [0, 1]  # 0.6 of a class that 0.7 is said of anyway


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Template("{text} is"), "must end with {label}"),
        (lambda: Template("{label} {label}"), "must end with {label}, which stands there once"),
        (lambda: Template("Is it? {label}"), "names no field"),
        (lambda: Verbalisers({"a": ["x"]}), "1 class: two at least"),
        (lambda: Verbalisers({"a": ["x"], "b": [" "]}), "a class has an empty word"),
        (lambda: Verbalisers({"a": ["x", "y"], "b": ["x"]}), "the word 'x' stands for two classes"),
    ],
)
def test_what_cannot_be_used_is_named(make: Any, said: str) -> None:
    with pytest.raises(PromptingError) as caught:
        make()
    assert said in str(caught.value)


def test_an_item_that_does_not_fit_into_the_context_is_named(policy: Any) -> None:
    prompts = [TEMPLATE.filled({"text": "Ada" * count}) for count in (1, 400)]
    with pytest.raises(PromptingError, match=r"item 2: [\d,]+ tokens .* exceed the context of 96"):
        class_probabilities(policy[0], policy[1], prompts, WORDS)
