"""A project with two registered policies, and a review that compares the second with the first."""

from pathlib import Path

from alignloop import tracking
from alignloop.labeling import reviews
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.reviews import Pair
from alignloop.pipeline import dvc_pipeline
from alignloop.records import Message, Prompt
from alignloop.release import champion
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

NAME = "alignloop-policy"
REPORT = {
    "gates": "**Gates PASSED**: 9 of 9 rules are met\n\n| rule | number |\n|---|---|\n| wins | 0.715 |\n"
}
WINS = {
    "wins": {
        "gold": "0.743 [0.715, 0.769] on 1000 prompts",
        "reward_model": "0.874 [0.852, 0.893] on 1000 prompts",
    }
}
GOLD, SCORE = WINS["wins"].values()
DESCRIPTION = f"the policy\n\nWins by gold: {GOLD}; by the reward model: {SCORE}.\n\nBytes: b"


def register(root: Path, words: str, gates: str = "passed") -> Version:
    """Register a policy whose bytes are these words."""
    folder = root / "models" / "r1" / "policy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_text(words)
    hash = dvc_pipeline.hash_of(folder, root)
    with tracking.run(root, "ppo", "r1") as live:
        live.finish({"models/r1/policy": hash})
    version = registry.register(
        root,
        NAME,
        "models/r1/policy",
        hash,
        run=live.id,
        description=DESCRIPTION,
        parents={},
        tags={"gates": gates},
    )
    return registry.find(root, f"{NAME}/{version.version}")


def publish_review(
    root: Path,
    database: LabelingDatabase,
    count: int = 2,
    votes: int = 2,
    candidate: str = "Of rock.",
    other: str = "Of cheese.",
) -> Version:
    """Make one policy the champion, publish a review of another, and return the latter."""
    old, new = register(root, "old"), register(root, "new")
    champion.approve(root, old, "ada", "first")
    registry.set_alias(root, "candidate", new)
    pairs = []
    for number in range(count):
        messages = (Message(role="user", content=f"What is the moon made of? ({number})"),)
        prompt = Prompt(id=f"p{number}", messages=messages, user=f"u{number}", source="test")
        pairs.append(Pair(prompt, f"{candidate} {number}", f"{other} {number}"))
    reviews.publish(
        database,
        new.hash,
        candidate=f"{NAME}/{new.version}",
        other=f"{NAME}/{old.version}",
        pairs=pairs,
        votes=votes,
        report=REPORT | WINS,
    )
    return new
