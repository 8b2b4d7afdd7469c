"""What a template adds, refuses or repeats is found, and what it does right is said."""

import copy
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from alignloop.checks.chat_turns import check_turns
from alignloop.checks.findings import Finding
from alignloop.checks.token_ids import check_ids
from alignloop.core.checkpoint_folder import load_tokenizer

CHATML = (
    "{% for m in messages %}{{ '<|user|>' + m['role'] + '\n' + m['content'] + '<|end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)
DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|user|>system\nYou are kind.<|end|>\n' }}{% endif %}"
    + CHATML
)


def findings(tiny_policy: Path, template: str, **tokens: str) -> list[Finding]:
    tokenizer: PreTrainedTokenizerBase = copy.deepcopy(load_tokenizer(tiny_policy))
    tokenizer.chat_template = template
    for name, token in tokens.items():
        setattr(tokenizer, name, token)
    return [*check_turns(tokenizer), *check_ids(tokenizer)]


def said(found: list[Finding], check: str, severity: str) -> list[str]:
    return [each.message for each in found if (each.check, each.severity) == (check, severity)]


def test_a_default_system_prompt_is_named(tiny_policy: Path) -> None:
    [note] = [
        line
        for line in said(findings(tiny_policy, DEFAULT), "template", "note")
        if line.startswith("the template adds")
    ]
    assert note.endswith("'You are kind.'")
    plain = said(findings(tiny_policy, CHATML), "template", "ok")
    assert "renders system turns, and adds no system prompt of its own" in plain


@pytest.mark.parametrize(
    ("template", "check", "severity", "message"),
    [
        ("{{ bos_token }}{{ bos_token }}" + CHATML, "BOS", "error", "a row begins with 2 BOS tokens"),
        ("{{ bos_token }}" + CHATML, "BOS", "ok", "a row begins with one <|system|>"),
        (
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML,
            "template",
            "warning",
            "system turns are refused",
        ),
        (
            "{{ strftime_now('%d %b %Y') }}" + CHATML,
            "template",
            "warning",
            "the template writes today's date",
        ),
        (
            "{% if messages | length > 2 %}{{ raise_exception('one turn') }}{% endif %}" + CHATML,
            "template",
            "error",
            "the chat template cannot render a dialogue of user, assistant, user: one turn",
        ),
        (CHATML, "template", "note", "tool turns are not rendered"),
    ],
)
def test_each_fault_of_a_template_is_one_finding(
    tiny_policy: Path, template: str, check: str, severity: str, message: str
) -> None:
    found = findings(tiny_policy, template, bos_token="<|system|>")
    lines = said(found, check, severity)
    assert [line for line in lines if line.startswith(message)]


def test_a_template_that_renders_tools_is_told_so(tiny_policy: Path) -> None:
    tools = CHATML.replace("m['content']", "m['content'] + (m.tool_calls | tojson if m.tool_calls else '')")
    assert "renders tool turns, which are learned with tools.functions" in said(
        findings(tiny_policy, tools), "template", "ok"
    )


def test_thoughts_that_are_left_out_of_earlier_turns_are_a_note(tiny_policy: Path) -> None:
    rewriting = (
        "{% for m in messages %}{{ '<|user|>' + m['role'] "
        "+ ('!' if m.role == 'assistant' and not loop.last else '') "
        "+ '\n' + m['content'] + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
    )
    [note] = said(findings(tiny_policy, rewriting), "ids", "note")
    assert note.startswith("the template writes earlier responses in another form")
