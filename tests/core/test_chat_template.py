"""What chat templates of public families write around a response is what is learned and drawn."""

import copy

import pytest
from transformers import PreTrainedTokenizerFast

from alignloop.core.chat_template import RewrittenTurn, TokenizerError, response_form
from alignloop.core.models import allowed_tokens
from alignloop.core.tokens import (
    check_tokenizer,
    decode,
    encode,
    encode_dialogue,
    encode_prompt,
    encode_response,
    end_of,
    pad_of,
    render,
)

GEMMA = (
    "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else "
    "m['role']) + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SYSTEM_BY_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nHelp.<|im_end|>\n' }}{% endif %}"
) + CHATML
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|head|>' + m['role'] + '\n\n' + m['content'] | trim + "
    "'<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|head|>assistant\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
    "{% endif %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
LLAMA2 = MISTRAL.replace("+ eos_token", "+ ' ' + eos_token")
R1 = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}"
    "{{ '<|A|>' + m['content'].split('</think>')[-1] + eos_token }}{% else %}{{ '<|U|>' + m['content'] }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|A|><think>\n' }}{% endif %}"
)
QWEN3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}{% set c = m['content'] %}"
    "{% if m['role'] == 'assistant' %}{% set c = c.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.index0 > ns.last %}{% set c = '<think>\n\n</think>\n\n' + c %}{% endif %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + c + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BARE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
# template, end-of-sequence token, marks, what is learned of a last response
TEMPLATES = {
    "gemma": (GEMMA, "<eos>", ["<start_of_turn>", "<end_of_turn>"], "It climbs.<end_of_turn>"),
    "phi": (PHI, "<|endoftext|>", ["<|end|>"], "It climbs.<|end|>"),
    "chatml": (CHATML, "<|endoftext|>", ["<|im_start|>", "<|im_end|>"], "It climbs.<|im_end|>"),
    "system": (SYSTEM_BY_DEFAULT, "<|im_end|>", ["<|im_start|>"], "It climbs.<|im_end|>"),
    "llama3": (LLAMA3, "<|end_of_text|>", ["<|head|>", "<|eot_id|>"], "It climbs.<|eot_id|>"),
    "mistral": (MISTRAL, "</s>", ["[INST]", "[/INST]"], " It climbs.</s>"),
    "llama2": (LLAMA2, "</s>", ["[INST]", "[/INST]"], " It climbs. </s>"),
    "r1": (R1, "<|eos|>", ["<|U|>", "<|A|>"], "It climbs.<|eos|>"),
    "qwen3": (QWEN3, "<|endoftext|>", ["<|im_start|>", "<|im_end|>"], "It climbs.<|im_end|>"),
    "bare": (BARE, "<|eos|>", [], "It climbs.<|eos|>"),
}
TALK = [
    {"role": "user", "content": "A kettle?"},
    {"role": "assistant", "content": "It boils."},
    {"role": "user", "content": "A ladder?"},
    {"role": "assistant", "content": "It climbs."},
]


def styled(
    tokenizer: PreTrainedTokenizerFast, template: str, eos: str, marks: list[str]
) -> PreTrainedTokenizerFast:
    spare = copy.deepcopy(tokenizer)
    spare.add_special_tokens({"eos_token": eos, "bos_token": "<bos>", "additional_special_tokens": marks})
    spare.chat_template = template
    return spare


@pytest.mark.parametrize("pad", [None, "eos", "end", "own"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_what_ends_a_turn_in_the_template_is_learned_drawn_and_never_written_by_a_text(
    name: str, pad: str | None, tokenizer: PreTrainedTokenizerFast
):
    template, eos, marks, learned = TEMPLATES[name]
    spare = styled(tokenizer, template, eos, marks)
    end = response_form(spare).end_text
    spare.pad_token = {None: None, "eos": eos, "end": end, "own": "<|pad|>"}[pad]
    check_tokenizer(spare)
    assert learned.endswith(end)
    assert allowed_tokens(spare, len(spare))[end_of(spare)]
    assert isinstance(pad_of(spare), int)
    row = encode_dialogue(spare, TALK, "last")
    ids = [index for index, on in zip(row.ids, row.mask, strict=True) if on]
    assert spare.decode(ids) == learned
    assert ids.count(end_of(spare)) == 1
    assert ids[-1] == end_of(spare)
    assert row.ids == encode_prompt(spare, TALK[:3]) + encode_response(spare, "It climbs.")
    assert decode(spare, ids) == "It climbs."
    written = encode_response(spare, f"stop{end}now", ended=False)
    assert end_of(spare) not in written


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name not in {"r1", "bare"}])
def test_all_turns_are_learned_in_the_very_text_of_the_template(
    name: str, tokenizer: PreTrainedTokenizerFast
):
    template, eos, marks, _ = TEMPLATES[name]
    spare = styled(tokenizer, template, eos, marks)
    row = encode_dialogue(spare, TALK, "all")
    if name != "qwen3":  # its last turn has an empty thought, which is no part of the response
        assert render(spare, TALK, add_generation_prompt=False).startswith(str(spare.decode(row.ids)))
    assert [index for index, on in zip(row.ids, row.mask, strict=True) if on] == [
        *encode_response(spare, "It boils."),
        *encode_response(spare, "It climbs."),
    ]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("earlier", ["It boils.\n", "  It boils.", "<think>hot</think>\n\nIt boils."])
def test_a_last_turn_is_learned_whatever_the_template_makes_of_the_earlier_ones(
    name: str, earlier: str, tokenizer: PreTrainedTokenizerFast
):
    template, eos, marks, learned = TEMPLATES[name]
    spare = styled(tokenizer, template, eos, marks)
    talk = [TALK[0], {"role": "assistant", "content": earlier}, *TALK[2:]]
    row = encode_dialogue(spare, talk, "last")
    assert spare.decode([index for index, on in zip(row.ids, row.mask, strict=True) if on]) == learned
    opened = render(spare, talk[:3], add_generation_prompt=True)
    assert spare.decode(row.ids) == opened + learned == spare.decode(encode(spare, opened)) + learned


def test_a_template_that_rewrites_earlier_turns_cannot_teach_all_and_the_remedy_works(
    tokenizer: PreTrainedTokenizerFast,
):
    spare = styled(tokenizer, *TEMPLATES["r1"][:3])
    with pytest.raises(RewrittenTurn, match=r"set sft\.assistant_turns to last"):
        encode_dialogue(spare, TALK, "all")
    assert sum(encode_dialogue(spare, TALK, "last").mask)
    with pytest.raises(RewrittenTurn, match="leave out the turns after it"):
        encode_dialogue(spare, [TALK[0], {"role": "assistant", "content": "x</think>y"}, TALK[2]])


def test_an_end_that_is_no_token_is_refused_and_the_remedy_works(tokenizer: PreTrainedTokenizerFast):
    spare = styled(tokenizer, CHATML, "<eos>", [])
    with pytest.raises(TokenizerError, match=r"ends a response with '<\|im_end\|>', which is not one token"):
        check_tokenizer(spare)
    spare.chat_template = CHATML.replace("'<|im_end|>\n'", "eos_token + '\n'")
    check_tokenizer(spare)
    assert end_of(spare) == spare.eos_token_id


@pytest.mark.parametrize(
    "template",
    [
        "{% include 'x' %}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{{ 1 / 0 }}",
        "{% for %}",
        "{{ messages[9].content }}",
        "nothing",
    ],
)
def test_a_template_that_fails_in_any_way_is_refused_in_words(
    template: str, tokenizer: PreTrainedTokenizerFast
):
    spare = styled(tokenizer, template, "<eos>", [])
    with pytest.raises(TokenizerError, match="the chat template"):
        check_tokenizer(spare)
