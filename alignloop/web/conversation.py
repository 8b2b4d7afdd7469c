"""What a labeler writes: the next turn of a conversation, or both sides of a new one."""

from collections.abc import Mapping, Sequence

from alignloop.web.forms import Unanswered

MOST = 40  # turns


def turns_of(form: Mapping[str, str]) -> list[str]:
    """The fields turn-0, turn-1, … of a form."""
    count = sum(name.startswith("turn-") for name in form)
    return [form.get(f"turn-{place}", "").replace("\r\n", "\n") for place in range(min(count, MOST))]


def conversation_of(before: Sequence[Mapping[str, str]], turns: Sequence[str]) -> list[dict[str, str]]:
    """The whole conversation, which ends with the assistant. Empty turns at its end are dropped."""
    given = list(turns)
    while given and not given[-1].strip():
        given.pop()
    if not given or any(not turn.strip() for turn in given):
        raise Unanswered("Write every turn: none may be empty.")
    roles = ("assistant", "user") if before else ("user", "assistant")
    said = [*({"role": each["role"], "content": each["content"]} for each in before)]
    said += [{"role": roles[place % 2], "content": turn} for place, turn in enumerate(given)]
    if said[-1]["role"] != "assistant":
        raise Unanswered("The assistant has the last word: write its answer too.")
    return said
