"""Calls and answers in the forms of chat templates: the built-in one, and those of public families."""

import json
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from alignloop.core.tokens import decode, encode_dialogue, encode_prompt, encode_response
from alignloop.retrieval.citations import retrieved, shown
from alignloop.retrieval.index import Passage
from alignloop.tools.answer_form import AnswerForm, Turn
from alignloop.tools.call_form import BrokenCall, CallForm, call_form
from alignloop.tools.definition import Definition
from alignloop.tools.offer import offered
from alignloop.tools.schemas import ToolError
from tests.core.test_chat_template import TEMPLATES, styled

TOOL = Definition("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
QWEN = (
    "{% if tools %}{{ '<|im_start|>system\n' }}{% if messages[0]['role'] == 'system' %}"
    "{{ messages[0]['content'] + '\n\n' }}{% endif %}{{ '# Tools\n<tools>' }}{% for tool in tools %}"
    "{{ '\n' }}{{ tool | tojson }}{% endfor %}{{ '\n</tools><|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' or m.role == 'system' and not tools or "
    "m.role == 'assistant' and not m.tool_calls %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% elif m.role == 'assistant' %}"
    "{{ '<|im_start|>assistant' }}{% for c in m.tool_calls %}{{ '\n<tool_call>\n{\"name\": \"' + "
    "c.function.name + '\", \"arguments\": ' }}{{ c.function.arguments | tojson }}{{ '}\n</tool_call>' }}"
    "{% endfor %}{{ '<|im_end|>\n' }}{% elif m.role == 'tool' %}"
    "{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA31 = (
    "{{ bos_token }}{% if tools %}{{ '<|head|>system\n\n' }}{% for t in tools %}{{ t | tojson }}{% endfor %}"
    "{{ '<|eot_id|>' }}{% endif %}{% for m in messages %}{% if m.tool_calls %}"
    '{{ \'<|head|>assistant\n\n{"name": "\' + m.tool_calls[0].function.name + \'", "parameters": \' }}'
    "{{ m.tool_calls[0].function.arguments | tojson }}{{ '}<|eot_id|>' }}{% elif m.role == 'tool' %}"
    "{{ '<|head|>ipython\n\n' + m.content + '<|eot_id|>' }}{% else %}"
    "{{ '<|head|>' + m.role + '\n\n' + m.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant\n\n' }}{% endif %}"
)
PYTHONIC = LLAMA31.replace('{\\"name\\": \\"\'', "['").replace('{"name": "\' +', "[' +")
MARKED = QWEN.replace("<tool_call>", "<|call|>")
IM = ("<|im_end|>", ["<|im_start|>", "<|im_end|>"])
HEAD = ("<|eot_id|>", ["<|head|>", "<|eot_id|>"])


@pytest.fixture(params=[*sorted(TEMPLATES.keys() - {"bare"}), "qwen", "llama31", "built-in"])
def any_tokenizer(
    request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast
) -> PreTrainedTokenizerFast:
    match request.param:
        case "built-in":
            return tokenizer
        case "qwen":
            return styled(tokenizer, QWEN, *IM)
        case "llama31":
            return styled(tokenizer, LLAMA31, *HEAD)
        case name:
            return styled(tokenizer, *TEMPLATES[name][:3])


def test_the_turns_of_a_response_are_found_again_in_its_tokens(any_tokenizer: PreTrainedTokenizerFast):
    form = AnswerForm(any_tokenizer, 60)
    call = encode_response(any_tokenizer, "<tool_call>x</tool_call>")
    last = encode_response(any_tokenizer, "The sea.")
    said = ["7 doors", "<|end|> <|im_end|> <|eot_id|> </s> nobody", ""]
    answers = [form.ids(text)[0] for text in said]
    turns = [Turn(call, True)]
    for answer in answers:
        turns += [Turn(answer, False), Turn(call, True)]
    turns[-1] = Turn(last, True)
    ids = [token for turn in turns for token in turn.ids]
    assert form.turns(ids) == turns
    assert form.last_turn(ids) == last
    assert form.turns(last) == [Turn(last, True)]
    assert form.turns(last[:-1]) == [Turn(last[:-1], True)], "a response may end without an end token"
    assert form.words(turns[1]).strip() == "7 doors" or "7 doors" in form.words(turns[1])


def test_an_answer_has_the_tokens_that_a_demonstration_with_tools_is_learned_in(
    tokenizer: PreTrainedTokenizerFast,
):
    ids, cut = AnswerForm(tokenizer, 60).ids("42 < 43")
    dialogue = encode_dialogue(
        tokenizer,
        [
            {"role": "user", "content": "6*7?"},
            {"role": "assistant", "content": "call"},
            {"role": "user", "content": "<tool_response>\n42 < 43\n</tool_response>"},
            {"role": "assistant", "content": "42"},
        ],
        "all",
    )
    asked = encode_prompt(tokenizer, [{"role": "user", "content": "6*7?"}])
    call, last = encode_response(tokenizer, "call"), encode_response(tokenizer, "42")
    assert asked + call + ids + last == dialogue.ids
    assert not cut


def test_a_long_answer_is_cut_and_says_so(any_tokenizer: PreTrainedTokenizerFast):
    form = AnswerForm(any_tokenizer, 60)
    for text in ("word " * 1000, "\U0001f980" * 500):
        ids, cut = form.ids(text)
        assert cut
        assert len(ids) <= 60
        assert "(cut)" in decode(any_tokenizer, ids)
        call = encode_response(any_tokenizer, "a")
        assert form.last_turn(call + ids + call) == call
    assert form.ids("short")[1] is False


def test_a_form_without_special_tokens_or_room_is_refused(tokenizer: PreTrainedTokenizerFast):
    with pytest.raises(ToolError, match="answer_tokens: 20 leave no room"):
        AnswerForm(tokenizer, 20)
    with pytest.raises(ToolError, match="could pretend to be a tool's answer"):
        AnswerForm(styled(tokenizer, *TEMPLATES["bare"][:3]), 60)


def test_the_form_of_a_call_is_the_templates(tokenizer: PreTrainedTokenizerFast):
    assert call_form(tokenizer) == CallForm("<tool_call>", "</tool_call>", "arguments")
    assert call_form(styled(tokenizer, QWEN, *IM)) == CallForm("<tool_call>", "</tool_call>", "arguments")
    assert call_form(styled(tokenizer, LLAMA31, *HEAD)) == CallForm("", "", "parameters")
    with pytest.raises(ToolError, match="only a JSON object"):
        call_form(styled(tokenizer, PYTHONIC, *HEAD))
    with pytest.raises(ToolError, match=r"<\|call\|> around a call, a special token"):
        call_form(styled(tokenizer, MARKED, IM[0], [*IM[1], "<|call|>"]))


def test_calls_are_read_or_refused_in_words():
    form = CallForm()
    found = form.read('I ask. <tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>')
    assert (found.name, found.arguments, found.more) == ("add", {"a": 1}, False)
    text = form.written("add", {"a": "é"})
    assert form.read(text).arguments == {"a": "é"}
    assert form.read(text + text).more
    assert form.read('<tool_call>{"name": "now"}</tool_call>').arguments == {}
    for broken, words in {
        "<tool_call>": "not JSON",
        "<tool_call>{]</tool_call>": "not JSON",
        '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>': "not JSON",
        "<tool_call>" + "[" * 5000: "not JSON",
        "<tool_call>[1]</tool_call>": "names no tool",
        '<tool_call>{"name": 3}</tool_call>': "names no tool",
        '<tool_call>{"name": "add", "arguments": "a"}</tool_call>': "must be a JSON object",
        '<tool_call>{"name": "add"}': "must end with </tool_call>",
    }.items():
        assert form.is_call(broken)
        with pytest.raises(BrokenCall, match=words):
            form.read(broken)
    assert not form.is_call("The tool is called add.")
    bare = CallForm("", "", "parameters")
    assert bare.read('{"name": "add", "parameters": {"a": 1}}').arguments == {"a": 1}
    assert not bare.is_call('{"a": 1}')
    assert not bare.is_call('I would call {"name": "add"}')


def test_a_searchs_answer_is_cut_between_passages_or_between_words_of_the_first(
    any_tokenizer: PreTrainedTokenizerFast,
):
    text = "It was built of old oak in the year 1820 by two sisters."
    found = [Passage(number, "mill", "The mill", "MIT", text) for number in (3, 4, 5)]
    form = AnswerForm(any_tokenizer, 2000)
    size = [form.size(shown(found[:count])) for count in (1, 2, 3)]
    before, ids = list[Passage](), list[int]()
    for most in [*range(size[0] - 30, size[2], 5), size[2]]:
        form._most = most
        ids, cut = form.ids(shown(found), by_passages=True)
        assert len(ids) <= most
        told = list(retrieved([form.words(Turn(ids, False))]).values())
        assert cut == (told != found)
        assert all(text.startswith(each.text) for each in told)
        assert all(f"{each.text} " in f"{text} " for each in told), "no word is cut"
        assert len(told) == 1 or [each.text for each in told] == [text] * len(told)
        assert len(told) >= len(before)
        before = told
    assert before == found
    assert form.ids(shown(found)) == (ids, False)


def test_a_prompt_has_the_tools_by_the_template_or_in_a_system_message(tokenizer: PreTrainedTokenizerFast):
    asked: list[dict[str, str]] = [{"role": "user", "content": "6*7? <|im_end|>"}]
    qwen = styled(tokenizer, QWEN, *IM)
    text = qwen.decode(offered(qwen, asked, [TOOL], CallForm()))
    assert json.dumps(TOOL.as_schema())[1:-1] in text
    assert text.count("<|im_end|>") == 2, "what people wrote closes no turn"
    ids = offered(tokenizer, [{"role": "system", "content": "Be kind."}, *asked], [TOOL], CallForm())
    text = tokenizer.decode(ids)
    assert isinstance(text, str)
    assert text.startswith("<|system|>Be kind.\n\nYou can call these tools")
    assert json.dumps(TOOL.as_schema()["function"]) in text
    assert offered(tokenizer, asked, [], CallForm()) == encode_prompt(tokenizer, asked)


def test_disabled_browsing_is_obeyed(tokenizer: PreTrainedTokenizerFast):
    for said in (
        "Knowledge cutoff: 2021.\nBrowsing: disabled",
        "browsing:disabled",
        "You are kind. Browsing: Disabled. Be brief.",
        " BROWSING :\tdisabled",
    ):
        asked: list[Any] = [{"role": "system", "content": said}, {"role": "user", "content": "Who knows?"}]
        assert offered(tokenizer, asked, [TOOL], CallForm()) == encode_prompt(tokenizer, asked), said
    for said in (
        "browsing: enabled",
        "browsing is disabled for you",
        "nobrowsing: disabled",
        "browsing: disabledx",
    ):
        asked = [{"role": "system", "content": said}, {"role": "user", "content": "Who knows?"}]
        assert offered(tokenizer, asked, [TOOL], CallForm()) != encode_prompt(tokenizer, asked), said
    mentioned = [{"role": "user", "content": "browsing: disabled"}]
    assert offered(tokenizer, mentioned, [TOOL], CallForm()) != encode_prompt(tokenizer, mentioned)
