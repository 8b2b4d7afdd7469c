"""Roles must alternate, the user first; Great Expectations lists those that do not."""

from alignloop.data.validation.rules.alternating_roles import ExpectColumnValuesToAlternateRoles
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


def test_the_last_turn_must_have_the_given_role(unmet: Unmet) -> None:
    for last, other in (("user", "assistant"), ("assistant", "user")):
        expectation = ExpectColumnValuesToAlternateRoles(column="value", last=last)
        assert unmet(expectation, [*ENDED["user"], *ENDED["assistant"], *NEVER, None]) == [
            *ENDED[other],
            *NEVER,
        ]


def test_either_role_may_be_last_in_a_dialogue(unmet: Unmet) -> None:
    assert (
        unmet(
            ExpectColumnValuesToAlternateRoles(column="value"), [*ENDED["user"], *ENDED["assistant"], *NEVER]
        )
        == NEVER
    )
