"""Roles alternate from the user on, or Great Expectations names them."""

from alignloop.data.validation.rules.alternating_roles import ExpectColumnValuesToTakeTurns
from tests.data.validation.rules.conftest import Unmet

ENDED = {
    "user": ["user", "system user", "user assistant user"],
    "assistant": ["user assistant", "system user assistant"],
}
NEVER = [
    "",
    "assistant",
    "user user",
    "user system",
    "system",
    "assistant user",
    "system system user",
    "user assistant assistant",
]


def test_the_last_word_is_whose_it_has_to_be(unmet: Unmet) -> None:
    for last, other in (("user", "assistant"), ("assistant", "user")):
        expectation = ExpectColumnValuesToTakeTurns(column="value", last=last)
        assert unmet(expectation, [*ENDED["user"], *ENDED["assistant"], *NEVER, None]) == [
            *ENDED[other],
            *NEVER,
        ]


def test_either_may_have_the_last_word_of_a_dialogue(unmet: Unmet) -> None:
    assert (
        unmet(ExpectColumnValuesToTakeTurns(column="value"), [*ENDED["user"], *ENDED["assistant"], *NEVER])
        == NEVER
    )
