"""Code of the built-in environment: programs are judged by what they do, and are never executed by Python."""

from collections import Counter
from random import Random

import pytest

from alignloop.params.ingest import World as Sizes
from alignloop.records import Prompt
from alignloop.world import wording
from alignloop.world.behaviours import code
from alignloop.world.builder import make_world
from alignloop.world.corpus import as_messages
from alignloop.world.gold import judge
from alignloop.world.programs import ProgramError, run, same_effect
from alignloop.world.things import Facts

STATE = {("lamp", "colour"): "red", ("bell", "colour"): "blue"}


def asked(key: dict[str, str], words: str = "Write code to do it.") -> Prompt:
    messages = as_messages((words,))
    return Prompt(id="p", messages=messages, user="u", source="world", key={"behaviour": "code", **key})


def test_a_program_sets_compares_and_prints_attributes():
    found = run(
        'lamp.colour = bell.colour\nif lamp.colour == "blue": print("yes")\nprint(lamp.colour)', STATE
    )
    assert found.printed == ["yes", "blue"]
    assert found.values == {("lamp", "colour"): "blue", ("bell", "colour"): "blue"}
    assert STATE["lamp", "colour"] == "red", "the state it starts from stays"


@pytest.mark.parametrize(
    "text",
    [
        'lamp.colour = red"', "The lamp is red.", "print(lamp.smell)", "print(lamp)", "x = 1", "print()",
        "1 +", "__import__('os').system('touch /tmp/there')", "print(open('/etc/passwd').read())",
        "while True: pass",
        "lamp.colour.real = 'red'", "(" * 300, "\0", "lamp.colour = 'a'\n" * 40, "print(lamp.colour, end='')",
    ],
)  # fmt: skip
def test_whatever_is_no_program_of_its_kind_is_refused(text: str):
    with pytest.raises(ProgramError):
        run(text, STATE)


def test_programs_are_equal_by_their_effect_in_every_state():
    wanted = 'if lamp.colour == "red": print("yes")'
    assert same_effect(wanted, "if 'red' == lamp.colour:\n    print('yes')")
    assert same_effect(wanted, 'if lamp.colour == "RED": print("yes")'), "users write in lower case"
    assert not same_effect(wanted, 'print("yes")'), "equal in one state of eight"
    assert not same_effect(wanted, 'if lamp.colour == "blue": print("yes")')
    assert not same_effect("print(lamp.colour)", "print(lamp.colour)\nlamp.colour = 'red'"), "sets more"


def test_right_programs_pass_however_they_are_written_and_wrong_ones_say_why():
    prompt = asked({"kind": "write", "program": 'lamp.colour = "red"'})
    for text in ('lamp.colour = "red"', "lamp.colour = 'red'\n"):
        assert judge(prompt, text).passed, text
    assert judge(prompt, 'lamp.colour = "blue"').reasons[0] == "wrong result"
    assert judge(prompt, 'lamp.colour = "red').reasons[0] == "does not run"
    assert judge(prompt, 'Of course. lamp.colour = "red"').reasons[0] == "does not run"
    assert judge(prompt, 'lamp.colour = "blue"').score == -1.2


def test_what_a_program_prints_is_checked_by_running_it():
    assert code.printed_by('lamp.smell = "salt"\nbell.smell = lamp.smell\nprint(bell.smell)') == "salt"
    prompt = asked({"kind": "trace", "program": "", "value": "salt"}, "What does this code print?")
    assert judge(prompt, "It prints salt.").passed
    assert judge(prompt, "It prints honey.").reasons[0] == "false"
    assert judge(prompt, "It depends.").reasons[0] == "evasive"


def test_flawless_responses_pass_and_bad_ones_and_padded_ones_fail(facts: Facts):
    rng = Random(1)
    for _ in range(200):
        question = code.ask(facts, rng)
        prompt = asked(question.key, question.turns[0])
        good = code.good(question.key, facts, rng)
        assert judge(prompt, good).passed, good
        assert judge(prompt, good).score > 1.2, good
        bad = [make(question.key, facts, rng) for make in code.BEHAVIOUR.bad.values()]
        for worse in (*bad, wording.padded(good, rng), wording.rude(good, rng), wording.endless(good, rng)):
            assert not judge(prompt, worse).passed, worse
        assert not judge(prompt, question.turns[0]).passed, "an echo"


def test_with_a_share_of_code_documents_are_in_domains_and_prompts_ask_for_code(sizes: Sizes):
    small = sizes.model_copy(update={"documents": 1500, "prompts": 1500, "demonstrations": 50, "code": 0.2})
    world = make_world(1, small)
    domains = Counter(document.domain for document in world.documents)
    assert set(domains) == {"text", "code", "dialogue"}
    assert domains["code"] / 1500 == pytest.approx(0.2, abs=0.03)
    assert all((document.domain == "dialogue") == (document.text is None) for document in world.documents)
    categories = Counter(prompt.category for prompt in world.prompts)
    assert categories["code"] / 1500 == pytest.approx(0.2, abs=0.05)
    assert len(categories) == 10
    assert make_world(1, small) == world


def test_by_default_no_document_states_a_domain_and_no_prompt_asks_for_code(sizes: Sizes):
    world = make_world(1, sizes.model_copy(update={"documents": 300, "prompts": 300, "demonstrations": 5}))
    assert {document.domain for document in world.documents} == {None}
    assert '"domain"' not in world.documents[0].model_dump_json()
    assert "code" not in {prompt.category for prompt in world.prompts}
