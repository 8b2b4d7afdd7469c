"""A project with two registered policies, and reviewers asked to compare the second with the first."""

from pathlib import Path

from alignloop import tracking
from alignloop.labeling import reviews
from alignloop.labeling.database import Store
from alignloop.labeling.reviews import Pair
from alignloop.pipeline import dvc_pipeline
from alignloop.records import Message, Prompt
from alignloop.release import champion
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

NAME = "alignloop-policy"
TOLD = {"gates": "**Gates PASSED**: 9 of 9 rules are met\n\n| rule | number |\n|---|---|\n| wins | 0.715 |\n"}
WINS = {
    "wins": {
        "gold": "0.743 [0.715, 0.769] on 1000 prompts",
        "reward_model": "0.874 [0.852, 0.893] on 1000 prompts",
    }
}
GOLD, SCORE = WINS["wins"].values()
WORDS = f"the policy\n\nWins by gold: {GOLD}; by the reward model: {SCORE}.\n\nBytes: b"


def register(root: Path, words: str, gates: str = "passed") -> Version:
    """A policy with these words as its bytes."""
    folder = root / "models" / "r1" / "policy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_text(words)
    hash = dvc_pipeline.hash_of(folder, root)
    with tracking.run(root, "ppo", "r1") as live:
        live.finish({"models/r1/policy": hash})
    version = registry.register(root, NAME, "models/r1/policy", hash, live.id, WORDS, {}, {"gates": gates})
    return registry.find(root, f"{NAME}/{version.version}")


def offer(
    root: Path,
    store: Store,
    count: int = 2,
    votes: int = 2,
    mine: str = "Of rock.",
    theirs: str = "Of cheese.",
) -> Version:
    """Make one policy the champion and ask for a review of another, which is returned."""
    old, new = register(root, "old"), register(root, "new")
    champion.approve(root, old, "ada", "first")
    registry.set_alias(root, "candidate", new)
    pairs = []
    for number in range(count):
        said = (Message(role="user", content=f"What is the moon made of? ({number})"),)
        prompt = Prompt(id=f"p{number}", messages=said, user=f"u{number}", source="test")
        pairs.append(Pair(prompt, f"{mine} {number}", f"{theirs} {number}"))
    reviews.publish(
        store, new.hash, f"{NAME}/{new.version}", f"{NAME}/{old.version}", pairs, votes, TOLD | WINS
    )
    return new
