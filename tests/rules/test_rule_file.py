"""A file of rules: all faults at once, each with its line and field."""

from pathlib import Path

import pytest

from alignloop.rules.rule_file import FILE, RulesError, load_rules

PROJECT = Path(__file__).parents[2]
FAULTY = r"""rules:
  Bad name: {pattern: "(a", checks: nowhere, action: redact}
  two:
    pattern: "(?=x)"
    keywords: [" x"]
    checks: both
    action: block
  three:
    classifier: {path: x, above: 0.5}
    checks: response
    action: redact
  four: {pii: [EMAIL, NAME], checks: response, action: log, colour: red}
  five: {keywords: [a], checks: prompt, action: block}
  six: {pattern: a, keywords: [b], checks: prompt, action: log}
  seven: {judge: {url: "ftp://x", name: j, question: q}, checks: both, action: log}
"""


def test_all_faults_are_named_with_line_and_field(tmp_path: Path):
    file = tmp_path / "rules.yaml"
    file.write_text(FAULTY)
    with pytest.raises(RulesError) as raised:
        load_rules(file)
    lines = str(raised.value).splitlines()
    assert [line.removeprefix(f"{file}, line ").split(": ")[:2] for line in lines] == [
        ["2", "rules.Bad name"],
        ["2", "rules.Bad name.pattern"],
        ["2", "rules.Bad name.checks"],
        ["4", "rules.two.pattern"],
        ["5", "rules.two.keywords"],
        ["8", "rules.three"],
        ["12", "rules.four.pii.1"],
        ["12", "rules.four.colour"],
        ["13", "rules.five"],
        ["14", "rules.six"],
        ["15", "rules.seven.judge.url"],
    ]
    assert (
        "exactly one of pattern, keywords, pii, classifier, judge; there are pattern and keywords" in lines[9]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: {a: 1, a: 2}", "the key 'a' stands twice"),
        ("- a", "must hold the key `rules`"),
        ("rules: [", "not valid YAML"),
        ("", "must hold the key `rules`"),
        ("other: {}", "line 1: rules: the key is missing"),
    ],
)
def test_what_is_no_file_of_rules_is_said(tmp_path: Path, text: str, words: str):
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(RulesError, match=words):
        load_rules(file)
    with pytest.raises(RulesError, match="No such file"):
        load_rules(tmp_path / "none.yaml")


def test_the_file_of_a_fresh_checkout_holds_no_rule_and_its_examples_are_rules(tmp_path: Path):
    assert load_rules(PROJECT / FILE).rules == {}
    text = (PROJECT / FILE).read_text()
    example = text[text.index("# rules:") : text.index("\nrules:")]
    file = tmp_path / "rules.yaml"
    file.write_text("".join(f"{line[2:]}\n" for line in example.splitlines()))
    assert list(load_rules(file).rules) == ["contact_data", "weapons"]
