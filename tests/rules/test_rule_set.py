"""What rules hit, and what is done about it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alignloop.inference import chat_endpoint
from alignloop.rules.finders import RuleFailed
from alignloop.rules.rule_set import RuleSet
from tests.chat_server import ChatServer, serving
from tests.rules.conftest import CONTACT, GERMAN, WEAPONS, said
from tests.scoring.conftest import save_classifier


def test_the_strongest_action_wins_and_every_hit_is_named(rules_of: Callable[..., RuleSet]):
    rules = rules_of(CONTACT, WEAPONS, "salt: {pattern: salt, checks: response, action: log}")
    text = "Salt? salt, nerve  gas: write to ada@example.org"
    blocked = rules.decide("response", said(text))
    assert (blocked.action, blocked.by, blocked.message) == ("block", "weapons", "Not here.")
    assert blocked.hits == ("contact", "weapons", "salt")
    assert blocked.text == text
    redacted = rules.decide("response", said("salt: ada@example.org, +49 30 901820"))
    assert (redacted.action, redacted.text) == ("redact", "salt: <EMAIL>, <PHONE>")
    assert redacted.hits == ("contact", "salt")
    assert rules.decide("prompt", said("salt", "user")).action is None
    assert rules.holds_back()
    assert not rules_of(GERMAN).holds_back()


def test_redaction_names_the_rule_and_merges_what_overlaps(rules_of: Callable[..., RuleSet]):
    rules = rules_of(
        "code: {pattern: 'X-[0-9]+', checks: response, action: redact}",
        "number: {pattern: '[0-9]+ apples', checks: response, action: redact}",
    )
    assert rules.decide("response", said("X-12 apples, 3 apples.")).text == "<CODE>, <NUMBER>."


def test_a_rule_of_a_language_applies_to_it_and_to_texts_whose_language_is_unknown(
    rules_of: Callable[..., RuleSet],
):
    rules = rules_of(GERMAN)
    german = "Das ist geheim, und ich darf es leider niemandem in diesem Haus verraten."
    english = "The German word geheim means that something is kept secret from other people."
    assert rules.decide("response", said(german)).hits == ("german",)
    assert rules.decide("response", said(english)).hits == ()
    assert rules.decide("response", said("geheim")).hits == ("german",)


def test_the_version_of_a_rule_is_that_of_what_it_looks_for(rules_of: Callable[..., RuleSet]):
    before = rules_of(WEAPONS).version_of("weapons")
    assert rules_of(WEAPONS.replace("Not here", "No")).version_of("weapons") == before
    assert rules_of(WEAPONS.replace("nerve", "tear")).version_of("weapons") != before
    assert rules_of(WEAPONS.replace("both", "prompt")).version_of("weapons") != before


def test_a_classifier_scores_the_conversation(tmp_path: Path, rules_of: Callable[..., RuleSet]):
    folder = save_classifier(tmp_path / "classifier")
    dialogue = [{"role": "user", "content": "What is 1?"}, {"role": "assistant", "content": "It is 13."}]
    stated = "c: {{classifier: {{path: {0}, above: {1}}}, checks: response, action: log}}".format
    hit = [bool(rules_of(stated(folder, above)).find("response", dialogue)) for above in (-1e6, 1e6)]
    assert hit == [True, False]
    long = [*dialogue[:1], {"role": "assistant", "content": "No. " * 40}]
    with pytest.raises(RuleFailed, match=r"rules\.c\.classifier: .* more than its context of 32"):
        rules_of(stated(folder, 0.0)).find("response", long)


def test_a_judge_is_asked_once_and_a_judge_that_fails_lets_nothing_through(
    rules_of: Callable[..., RuleSet], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chat_endpoint, "BACK_OFF_S", 0.0)
    with serving(ChatServer(lambda body: '{"answer": true}')) as server:
        rules = rules_of(
            f"advice: {{judge: {{url: '{server.url}', name: j, question: 'Is it medical advice?'}}, "
            "checks: response, action: block, message: Ask a doctor.}"
        )
        dialogue = [*said("My head hurts.", "user"), *said("Take two.")]
        assert rules.decide("response", dialogue).message == "Ask a doctor."
        assert rules.decide("response", dialogue).message == "Ask a doctor."
        assert len(server.asked) == 1
        assert "Is it medical advice?" in server.asked[0]["messages"][0]["content"]
        assert "Take two." in server.asked[0]["messages"][1]["content"]
        asking = rules_of(
            f"asks: {{judge: {{url: '{server.url}', name: j, question: 'Is it?'}}, checks: prompt, "
            "action: log}"
        )
        assert asking.find("prompt", said("Be brief.", "system")) == []
        assert len(server.asked) == 1
        assert asking.find("prompt", said("Is it?", "user"))[0].rule == "asks"
        server.reply = lambda body: "perhaps"
        with pytest.raises(RuleFailed, match="gave no answer to the rule's question"):
            rules.decide("response", said("Take three."))
