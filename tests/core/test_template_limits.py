"""Chat templates that never end, or need gigabytes, are one message within seconds."""

import copy
import time

import pytest
from transformers import PreTrainedTokenizerFast

from alignloop.core import template_limits
from alignloop.core.chat_template import TokenizerError
from alignloop.core.tokens import check_tokenizer

TURNS = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
OPENING = "{% if add_generation_prompt %}assistant: {% endif %}"
ENDLESS = {
    "nested loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
    ),
    "loops over the turns": (
        "{% for a in messages %}{% for b in range(99999) %}{% for c in range(999) %}{% endfor %}{% endfor %}"
        "{% endfor %}"
    ),
}
LARGE = {
    "a repeated text": "{{ 'x' * 10 ** 10 }}",
    "a text that doubles": (
        "{% set ns = namespace(s='xx') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"
        "{{ ns.s }}"
    ),
    "a padded text": "{{ 'x' | center(5000000) }}",
}


@pytest.mark.parametrize(
    ("body", "fault"),
    [(body, "does not end within 1 seconds") for body in ENDLESS.values()]
    + [(body, "needs more than a gigabyte of memory, or writes more") for body in LARGE.values()],
    ids=[*ENDLESS, *LARGE],
)
def test_a_template_without_an_end_or_of_gigabytes_is_refused_within_seconds(
    tokenizer: PreTrainedTokenizerFast, body: str, fault: str, monkeypatch: pytest.MonkeyPatch
):
    # to fill a gigabyte may take a busy machine many seconds
    monkeypatch.setattr(template_limits, "SECONDS", 1 if body in ENDLESS.values() else 30)
    other = copy.deepcopy(tokenizer)
    other.chat_template = body + TURNS + OPENING
    begin = time.monotonic()
    with pytest.raises(TokenizerError, match=f"the chat template {fault}.*put another chat_template.jinja"):
        check_tokenizer(other)
    assert time.monotonic() - begin < 40, "a busy machine included"


@pytest.mark.parametrize(
    "body", ["{{ 1 / 0 }}", "{% include 'x' %}", "{% for i in range(10 ** 9) %}{% endfor %}"]
)
def test_a_template_that_fails_keeps_its_own_message(tokenizer: PreTrainedTokenizerFast, body: str):
    other = copy.deepcopy(tokenizer)
    other.chat_template = body + TURNS + OPENING
    with pytest.raises(TokenizerError, match="cannot render a dialogue"):
        check_tokenizer(other)


def test_a_template_that_ends_is_taken(tokenizer: PreTrainedTokenizerFast):
    other = copy.deepcopy(tokenizer)
    other.chat_template = TURNS + OPENING
    check_tokenizer(other)
