"""A week of feedback becomes the next round's source: once, resumable, and only with consent."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignloop.labeling import consent, conversations, feedback
from alignloop.labeling.database import LabelingDatabase, database_url
from alignloop.params import load
from alignloop.pipeline.overrides import override
from tasks.chat_feedback import FOLDER, NothingToLearn, TakenFeedback, end_feedback, take_feedback
from tests.conftest import PROJECT

MODEL: Any = {"model": "alignloop-policy/1", "state": "complete", "left_out": 0, "system": ""}
NEXT = {
    "rounds.r4": {
        "policy": "models/r3/policy",
        "start": "models/r3/policy",
        "reward_start": "models/r3/reward",
        "rankings": "data/rankings/r3",
        "by": "ppo",
    }
}


class Project:
    """A project with a chat database."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(PROJECT / "configs", root / "configs")
        self.database = LabelingDatabase(database_url(root))
        plan = load(root / "params.yaml").serving
        self.statement = consent.read_statement(root, plan.consent, plan.feedback_licence)
        consent.record_statement(self.database, self.statement)

    def agree(self, owner: str, agreed: bool = True) -> None:
        consent.decide(self.database, owner, self.statement, version=self.statement.version, agreed=agreed)

    def say(self, owner: str, prompt: str) -> None:
        settings: Any = {"model": "m", "system": "", "sampling": {}}
        id = conversations.create(self.database, owner, prompt, **settings)
        asked = conversations.add_prompt(self.database, owner, id, None, prompt)
        said = conversations.add_response(self.database, owner, id, parent=asked, content="Yes.", **MODEL)
        feedback.rate(self.database, owner, id, said, is_up=True)

    def take(self) -> TakenFeedback:
        return take_feedback(self.root, load(self.root / "params.yaml"), NEXT)

    def labels(self) -> str:
        return (self.root / FOLDER / "labels.jsonl").read_text()


@pytest.fixture
def chats(project: Path) -> Iterator[Project]:
    found = Project(project)
    yield found
    found.database.close()


def test_a_run_without_anything_to_learn_is_refused_and_changes_nothing(chats: Project) -> None:
    chats.say("ada", "Is the sea full of salt?")
    with pytest.raises(NothingToLearn) as caught:
        chats.take()
    assert "feedback: no round without any:\nno record: nothing was said that may be used" in str(
        caught.value
    )
    assert "left out: 1 thumbs of people who have not agreed, or have withdrawn" in str(caught.value)
    assert not (chats.root / FOLDER).exists()
    assert not (chats.root / ".cache" / "feedback.json").exists()


def test_a_run_that_was_interrupted_resumes_with_the_same_feedback_less_what_was_withdrawn(
    chats: Project,
) -> None:
    for owner in ("ada", "bob"):
        chats.agree(owner)
        chats.say(owner, f"Is the sea full of salt, {owner}?")
    taken = chats.take()
    assert taken.overrides == {
        **NEXT,
        "ingest.licences": {"chat/*": "LicenseRef-Chat-Consent"},
        "ingest.source": "both",
    }
    assert taken.lines[0].startswith("feedback: taking what was said in chat until 20")
    first = chats.labels()
    chats.say("ada", "And the lake?")
    again = chats.take()  # of a run that was interrupted before it wrote params.yaml
    assert again.overrides == taken.overrides
    assert again.lines[0] == taken.lines[0].replace("taking", "resuming with")
    assert chats.labels() == first
    override(chats.root / "params.yaml", changes=NEXT)
    assert "rounds.r4" not in chats.take().overrides, "the round is there"
    chats.agree("bob", agreed=False)
    chats.take()
    assert "bob" not in chats.labels()
    assert chats.labels() in first
    assert "And the lake?" not in chats.labels()
    end_feedback(chats.root)
    assert "rounds.r4" in chats.take().overrides, "what was said since is the next round's"
    assert "And the lake?" in chats.labels()
    end_feedback(chats.root)
    with pytest.raises(
        NothingToLearn, match="nothing was said in chat, and nothing withdrawn, since the last"
    ):
        chats.take()
