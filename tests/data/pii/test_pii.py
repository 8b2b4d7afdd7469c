"""Personal data is found and redacted, other text is left unchanged, and redacted text holds none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignloop.data.pii.patterns import is_card
from alignloop.data.pii.redaction import find_spans, kinds_in, redact
from benchmarks.redaction import cases, scores

PERSONAL = {
    "Write to ann.lee+news@mail.example.org.": "Write to <EMAIL>.",
    "(kolby_82@e-mail.com)": "(<EMAIL>)",
    "Call (415) 555-0123 or 415-555-0123.": "Call <PHONE> or <PHONE>.",
    "1-800-555-0199": "<PHONE>",
    "+44 20 7946 0958, ask for Jo": "<PHONE>, ask for Jo",
    "+1 (202) 456-1111": "<PHONE>",
    "Tel. 020 7946 0958": "Tel. <PHONE>",
    "Tel. 030/1234 5678": "Tel. <PHONE>",
    "pay with 4111 1111 1111 1111 05/27": "pay with <CARD> 05/27",
    "pay with 4111-1111-1111-1111": "pay with <CARD>",
    "4111111111111111 12": "<CARD> 12",
    "my host is 93.184.216.34.": "my host is <IP>.",
    "DE89 3704 0044 0532 0130 00": "<IBAN>",
    "to GB82WEST12345698765432 THEN": "to <IBAN> THEN",
    "१२ Baker Street": "<ADDRESS>",
}
HARMLESS = [
    "In 2015-2016, 1,000,000 people paid $415.555.0123 for 12 x 34 - 56 = 352.",
    "Version 1.2.3, pi is 3.1415926535, the date is 2021-06-30 12:45:59, or 30.06.2021, or 01-02-2003.",
    "4111 1111 1111 1112 fails its check digit, as does DE88370400440532013000.",
    "localhost is 127.0.0.1, 0.0.0.0 is all, 999.1.1.1 is none, and so is 1.2.3.4.5.",
    "npm/dompurify@2.3.3/dist, @mention, a @ b, 5 @ 3 each",
    "He has 555 1234 and <EMAIL> and <PHONE>.",
    "#### 48, 16*2=32, 100000 200000 300000",
]


@pytest.mark.parametrize("text", PERSONAL)
def test_each_kind_is_replaced_by_its_placeholder(text: str):
    clean, counts = redact(text)
    assert clean == PERSONAL[text]
    assert counts.total() == PERSONAL[text].count("<")


@pytest.mark.parametrize("text", HARMLESS)
def test_similar_looking_text_is_not_redacted(text: str):
    assert kinds_in(text) == []
    assert redact(text) == (text, {})


def test_on_the_test_set_precision_is_at_least_95_percent_and_recall_90_percent():
    listed, score = list(cases()), scores()
    assert len(listed) >= 300
    assert len({case.locale for case in listed}) >= 3
    assert score["all"].precision >= 0.95
    assert score["all"].recall >= 0.9
    kinds = {name for name in score if name.isupper()}
    assert kinds == {"EMAIL", "PHONE", "CARD", "IBAN", "IP", "ID", "ADDRESS", "KEY"}
    assert all(score[kind].there >= 15 and score[kind].recall >= 0.8 for kind in kinds)


def test_the_more_certain_kind_wins_and_spans_do_not_overlap():
    text = "ann@93.184.216.34.example.org, DE89 3704 0044 0532 0130 00 or 4111 1111 1111 1111"
    assert [(place.kind, text[place.start : place.end]) for place in find_spans(text)] == [
        ("EMAIL", "ann@93.184.216.34.example.org"),
        ("IBAN", "DE89 3704 0044 0532 0130 00"),
        ("CARD", "4111 1111 1111 1111"),
    ]


def test_personal_data_is_found_in_scripts_without_spaces():
    assert (
        redact("邮箱ann@example.cn电话13812345678，住在北京市海淀区中关村大街27号。")[0]
        == "邮箱<EMAIL>电话<PHONE>，住在<ADDRESS>。"
    )


def test_check_sums_by_hand():
    # 79927398713 from the right, every second doubled: 3+2+7+7+9+6+7+4+9+9+7 = 70; leading zeros add nothing
    assert is_card("0079927398713")
    assert not is_card("0079927398710")
    assert not is_card("79927398713"), "eleven digits are no card"
    # GB82 WEST 1234 5698 7654 32 → 3214282912345698765432161182 ≡ 1 (mod 97)
    assert kinds_in("GB82 WEST 1234 5698 7654 32") == ["IBAN"]
    assert 3214282912345698765432161182 % 97 == 1
    assert "IBAN" not in kinds_in("GB83 WEST 1234 5698 7654 32")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "4111 1111 1111 1111",
                "+1 ",
                "(415)",
                " 555-0123",
                "a@b.co",
                "10.20.30.40",
                ".",
                "-",
                " ",
                "0",
                "12",
                "x",
                "DE89",
                "3704 0044 0532 0130 00",
            ]
        )
    )
)
def test_nothing_is_found_in_what_was_redacted(pieces: list[str]):
    clean, _ = redact("".join(pieces))
    assert kinds_in(clean) == []
    assert redact(clean) == (clean, {})
