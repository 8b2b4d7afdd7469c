"""A document without a domain is of the domain of its form; a mixture must fit the corpus."""

import pytest

from alignloop.data.input_files import DataError
from alignloop.data.pretraining_text import by_domain, by_stated_domain, check_mixture
from alignloop.records import Document, Message

TALK = (Message(role="user", content="Hello!"),)
PLAIN = [
    *(Document(id=f"t{number}", text="words", source="s") for number in range(8)),
    *(Document(id=f"d{number}", messages=TALK, source="s") for number in range(2)),
]
DOCUMENTS = [*PLAIN, *(Document(id=f"c{number}", text="x", source="s", domain="code") for number in range(2))]


def test_domains_are_stated_or_those_of_the_form():
    assert {name: len(own) for name, own in by_domain(DOCUMENTS).items()} == {
        "code": 2,
        "dialogue": 2,
        "text": 8,
    }
    assert by_stated_domain(DOCUMENTS) == by_domain(DOCUMENTS)
    assert {*by_domain(PLAIN)} == {"dialogue", "text"}
    assert by_stated_domain(PLAIN) == {}


def test_a_mixture_that_does_not_fit_the_corpus_is_refused_with_all_its_faults():
    check_mixture({"text": 1.0, "code": 0.0, "dialogue": 1.0}, DOCUMENTS)
    with pytest.raises(DataError) as caught:
        check_mixture({"text": 1.0, "cod": 1.0}, DOCUMENTS)
    assert str(caught.value) == (
        "pretrain.mixture: names cod, of which the corpus has no document; does not name code: weight 0 "
        "leaves it out; does not name dialogue: weight 0 leaves it out; the corpus has code (2 documents), "
        "dialogue (2 documents), text (8 documents)"
    )
