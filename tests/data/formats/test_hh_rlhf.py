"""HH-RLHF: pairs of transcripts become rankings of their last responses, and faulty pairs are refused."""

from pathlib import Path

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Refused
from alignloop.records import Ranking, Record
from tests.data.formats.samples import read_items, turns_of, write


def pair(chosen: str, rejected: str, before: str = "\n\nHuman: Hello?\n\nAssistant:") -> dict[str, str]:
    return {"chosen": before + chosen, "rejected": before + rejected}


def hh(path: Path, *pairs: dict[str, str]) -> list[Record | Refused]:
    """What the importer yields for some pairs of transcripts."""
    return read_items(write(path / "hh.jsonl", pairs), "hh-rlhf", "harmless-base/train.jsonl")


def test_a_pair_of_transcripts_is_a_ranking_of_its_last_responses(tmp_path: Path):
    before = "\n\nHuman: Hi!\n\nAssistant: Hello.\n\nHuman: Why is\n\nthe sky: blue?\n\nAssistant:"
    [ranking] = hh(tmp_path, pair(" Air scatters blue.\n\nMore: see", " Air\u2028scatters.", before))
    assert isinstance(ranking, Ranking)
    assert turns_of(ranking.prompt) == ["user: Hi!", "assistant: Hello.", "user: Why is\n\nthe sky: blue?"]
    assert ranking.responses == ("Air scatters blue.\n\nMore: see", "Air\u2028scatters.")
    assert (ranking.ranks, ranking.kind, ranking.labeler, ranking.prompt.category) == (
        (1, 2),
        "person",
        "hh-rlhf",
        "harmless-base",
    )


def test_responses_with_a_common_beginning_are_kept_whole(tmp_path: Path):
    [ranking] = hh(tmp_path, pair(" I am sorry, no.", " I am sorry."))
    assert isinstance(ranking, Ranking)
    assert ranking.responses == ("I am sorry, no.", "I am sorry.")


def test_an_empty_last_response_is_kept_because_people_saw_it(tmp_path: Path):
    [ranking] = hh(tmp_path, pair("", " What?"))
    assert isinstance(ranking, Ranking)
    assert ranking.responses == ("", "What?")


FAULTS = {
    "chosen and rejected are the same": pair(" Hm.", " Hm. "),
    "the transcripts part before the last turn": pair(" A.\n\nHuman: B?\n\nAssistant: C.", " D."),
    "an empty turn before the last": pair(
        " A.", " B.", "\n\nHuman: Hi?\n\nAssistant: \n\nHuman: Hm?\n\nAssistant:"
    ),
    "a speaker talks twice in a row": pair(" A.", " B.", "\n\nHuman: Hi?\n\nHuman: Hm?\n\nAssistant:"),
    "the transcripts share no prompt": {
        "chosen": "\n\nHuman: A?\n\nAssistant: B.",
        "rejected": "\n\nHuman: C?\n\nAssistant: B.",
    },
    "rejected: Input should be a valid string": {
        "chosen": "\n\nHuman: A?\n\nAssistant: B.",
        "rejected": True,
    },
    "chosen: Field required": {"rejected": "\n\nHuman: C?\n\nAssistant: B."},
}


def test_each_faulty_pair_is_refused_with_its_reason_and_line(tmp_path: Path):
    path = write(tmp_path / "hh.jsonl", [*FAULTS.values(), pair(" A.", " B.")])
    items = list(FORMATS["hh-rlhf"].read(path, "hh.jsonl"))
    assert [(line, item.reason) for line, item in items[:-1] if isinstance(item, Refused)] == list(
        enumerate(FAULTS, 1)
    )
    assert isinstance(items[-1][1], Ranking)


def test_all_turns_of_one_conversation_have_one_user(tmp_path: Path):
    longer = "\n\nHuman: Hello?\n\nAssistant: Hi.\n\nHuman: And?\n\nAssistant:"
    first, later, other = hh(
        tmp_path,
        pair(" A.", " B."),
        pair(" A.", " B.", longer),
        pair(" A.", " B.", "\n\nHuman: Hey?\n\nAssistant:"),
    )
    assert isinstance(first, Ranking)
    assert isinstance(later, Ranking)
    assert isinstance(other, Ranking)
    assert first.prompt.user == later.prompt.user != other.prompt.user
    assert len({first.id, later.id, other.id}) == 3
