"""Raw records enough for every split, and what prepare makes of them: tests add to these."""

import json
from pathlib import Path
from typing import Any

import yaml

from alignloop import params as parameters
from alignloop.data.preparation.record_features import split_of
from alignloop.data.record_files import read, write
from alignloop.params.binding import bind
from alignloop.records import BinaryLabel, Demonstration, Document, Message, Prompt, Ranking, Split
from alignloop.stages.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


def users(split: Split) -> list[str]:
    return [user for user in (f"u{number}" for number in range(400)) if split_of(user, 0.1, 0.2) == split]


TRAIN, VALID, TEST = (users(split) for split in SPLITS)


def messages(*said: str) -> tuple[Message, ...]:
    return tuple(
        Message(role="user" if place % 2 == 0 else "assistant", content=content)
        for place, content in enumerate(said)
    )


def prompt(name: str, user: str, said: str) -> Prompt:
    return Prompt(id=name, messages=messages(said), user=user, source="s")


def demonstration(name: str, user: str, *said: str) -> Demonstration:
    return Demonstration(id=name, messages=messages(*said), user=user, labeler="labeler-1", source="s")


def ranking(name: str, user: str, said: str, *responses: str, labeler: str = "labeler-1") -> Ranking:
    ranks = tuple(range(1, len(responses) + 1))
    about: Any = {"id": name, "labeler": labeler, "kind": "person", "policy": "p", "round": "imported"}
    return Ranking(prompt=prompt(f"{name}-p", user, said), responses=responses, ranks=ranks, **about)


def label(name: str, user: str, said: str, response: str, *, good: bool) -> BinaryLabel:
    about: Any = {"id": name, "labeler": "labeler-1", "by": "person", "policy": "p", "round": "chat"}
    return BinaryLabel(prompt=prompt(f"{name}-p", user, said), response=response, good=good, **about)


class Sets:
    """Raw records enough for every split, more by a test, and what prepare makes of them."""

    def __init__(self, root: Path):
        self.root, self.longest = root, 100
        self.prompts = [
            prompt(f"own-{user}", user, f"What is {user}?") for user in (*TRAIN[:3], *VALID[:3], *TEST[:3])
        ]
        self.demonstrations = [
            demonstration(f"own-{user}", user, f"Who is {user}?", "I.")
            for user in (*TRAIN[:3], *VALID[:3], *TEST[:3])
        ]
        self.rankings: list[Ranking] = []
        self.labels: list[BinaryLabel] = []
        self.said: list[str] = []
        self.documents = [
            Document(id=f"d{number}", text=f"Text {number}.", source="s") for number in range(60)
        ]

    def run(self, **changes: Any) -> dict[str, Any]:
        raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        raw["prepare"] |= {"valid_share": 0.1, "test_share": 0.2, **changes}
        raw["validate"]["max_characters"] = self.longest
        for name in ("prompts", "demonstrations", "rankings", "documents"):
            write(self.root / "raw" / f"{name}.jsonl", getattr(self, name))
        if self.labels:
            write(self.root / "raw" / "labels.jsonl", self.labels)
        outs = {name: self.root / name for name in ("raw", "prompts", "demonstrations", "corpus", "rankings")}
        work = bind(prepare, parameters.parse(raw, "params.yaml"))(**outs, metrics=self.root / "prepare.json")
        self.said = [step.note for step in work if step.note]
        return json.loads((self.root / "prepare.json").read_text(encoding="utf-8"))

    def ids(self, name: str, split: Split) -> list[str]:
        kind = Prompt if name == "prompts" else Demonstration
        found = read(self.root / name / f"{split}.jsonl", kind, allow_empty=True)
        return [record.id for record in found if not record.id.startswith("own-")]

    def imported(self) -> list[Ranking]:
        return read(self.root / "rankings" / "imported.jsonl", Ranking, allow_empty=True)
