"""Every row is in exactly one batch, whatever its length, and batches respect their limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignloop.core.batches import by_length, even_groups, first_fit, steps_of


def test_rows_of_similar_length_share_a_batch():
    assert by_length([9, 2, 3, 8, 2], tokens=9) == [[1, 4, 2], [3], [0]]
    assert by_length([9, 2, 3, 8, 2], tokens=8) == [[1, 4], [2], [3], [0]], (
        "2, 2, 3 would be padded to nine tokens"
    )
    assert by_length([]) == []


def test_rows_of_one_length_keep_their_order():
    lengths = [3, 1] * 500
    assert [index for batch in by_length(lengths, tokens=12) for index in batch] == [
        *range(1, 1000, 2),
        *range(0, 1000, 2),
    ]
    assert [index for pack in first_fit(lengths, tokens=12) for index in pack if lengths[index] == 3] == [
        *range(0, 1000, 2)
    ]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 120))
def test_each_row_is_in_one_batch_that_is_not_too_large(lengths: list[int], tokens: int):
    batches = by_length(lengths, tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(
        len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= tokens for batch in batches
    )


@given(st.lists(st.integers(1, 40), max_size=300), st.integers(1, 300))
def test_groups_are_even_in_size_and_in_number_where_rows_are_many(lengths: list[int], most: int):
    groups = even_groups(lengths, most)
    assert [index for group in groups for index in group] == sorted(
        range(len(lengths)), key=lambda index: lengths[index]
    )
    sizes = [len(group) for group in groups]
    assert all(0 < size <= most and max(sizes) - size < 2 for size in sizes)
    needed = -(-len(lengths) // most)
    assert len(sizes) in ((needed, needed + 1) if len(lengths) >= 128 else (needed,))
    assert len(sizes) % 2 == 0 or len(lengths) < 128 or most == 1


@pytest.mark.parametrize(
    ("rows", "per_step", "epochs", "steps"),
    [(0, 4, 3, 0), (10, 4, 1, 3), (10, 4, 2, 6), (10, 4, 0.5, 2), (10, 4, 0.01, 1), (8, 4, 1.5, 3)],
)
def test_steps_by_hand(rows: int, per_step: int, epochs: float, steps: int):
    assert steps_of(rows, per_step, epochs) == steps


def test_packs_contain_every_row_once_and_at_most_their_tokens():
    assert first_fit([5, 3, 9, 2, 4], tokens=9) == [[2], [0, 4], [1, 3]]
    assert first_fit([20, 1], tokens=9) == [[0], [1]], "a row that is too long has a pack of its own"
    assert first_fit([], tokens=9) == []
