"""Pieces of text add up to the decoded response, and stop texts cut it wherever tokens end."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignloop.core.tokens import decode, train_tokenizer
from alignloop.serving.text_stream import TextStream
from tests.conftest import TEXTS

TOKENIZER = train_tokenizer(TEXTS * 3, 300)


def streamed(ids: list[int], stop: list[str], strip: bool) -> tuple[list[str], bool]:
    stream, pieces = TextStream(TOKENIZER, stop, strip), []
    for token in ids:
        pieces.append(stream.add(token))
        if stream.is_stopped:
            break
    return [*pieces, stream.finish()], stream.is_stopped


@given(st.lists(st.integers(5, 299), max_size=30))
@example(
    TOKENIZER.encode(" ") + TOKENIZER.encode("  No")
)  # white space in several tokens before the first word
def test_the_pieces_are_the_response_as_training_decodes_it(ids: list[int]) -> None:
    assert "".join(streamed(ids, [], strip=True)[0]) == decode(TOKENIZER, ids)
    assert "".join(streamed(ids, [], strip=False)[0]) == TOKENIZER.decode(ids)


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_first_stop_text_cuts_the_response_and_none_of_it_is_sent(text: str, stop: list[str]) -> None:
    whole = str(TOKENIZER.decode(ids := TOKENIZER.encode(text)))
    places = [whole.find(each) for each in stop if each in whole]
    pieces, is_stopped = streamed(ids, stop, strip=False)
    assert is_stopped == bool(places)
    assert "".join(pieces) == (whole[: min(places)] if places else whole)


@pytest.mark.parametrize("text", ["Grüße 👋🏽!", "日本語", "naïve — “quotes”"])
def test_no_piece_has_a_part_of_a_character(text: str) -> None:
    pieces, _ = streamed(TOKENIZER.encode(text), [], strip=True)
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


def test_text_is_sent_as_soon_as_it_is_certain() -> None:
    ids = TOKENIZER.encode("Yes, it is.")
    stream = TextStream(TOKENIZER, [" is now"], strip=True)
    sent = [stream.add(token) for token in ids]
    assert "".join(sent) == "Yes, it is."  # " is." is certain once the dot is there
    assert sent[0] == TOKENIZER.decode(ids[:1])
