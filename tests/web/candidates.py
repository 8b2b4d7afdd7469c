"""A project with two registered policies, and a review that compares the second with the first."""

from pathlib import Path
from typing import Any

from alignloop import tracking
from alignloop.core.metrics import format_win_rate
from alignloop.data import record_files
from alignloop.labeling import reviews
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.reviews import Pair
from alignloop.pipeline import dvc_pipeline
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.release import champion
from alignloop.release.gates import OPTIONAL, RULES
from alignloop.release.release_responses import RESPONSES, digest_of
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

NAME = "alignloop-policy"
WINS: dict[str, Any] = {
    "gold": {"rate": 0.743, "low": 0.715, "high": 0.769, "n": 1000, "ties": 0.1},
    "reward_model": {"rate": 0.874, "low": 0.852, "high": 0.893, "n": 1000, "ties": 0.0},
}
RULE = {"value": 0.715, "bound": 0.5, "met": True}
VERDICT: dict[str, Any] = {
    "passed": True,
    "against_champion": True,
    "wins": WINS,
    "rules": {name: RULE for name in RULES if name not in OPTIONAL}
    | {"max_behaviour_fall": {"value": None, "bound": None, "met": None}},
    "behaviour_falls": {},
    "rankings_by": {"simulated (form)": 30, "people": 10},
}
EVIL = "\"><script>alert('x')</script>"
GOLD, SCORE = (format_win_rate(win) for win in WINS.values())
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
        report={"verdict": VERDICT, "responses": digest_of(root / RESPONSES)},
    )
    return new


def write_responses(root: Path) -> None:
    """Responses of both models: by gold the candidate's is better on p0, worse on p1 to p7, equal on p8."""
    marks = {"tokens": 3, "ended": True, "score": 0.5, "made_up": None, "over_refused": None}
    answers = []
    for number in range(9):
        prompt = Prompt(
            id=f"g{number}",
            messages=(Message(role="user", content=f"What\x1b[2J is p{number}?"),),
            user="u",
            source="test",
        )
        for name in ("policy", "champion"):
            gold = {0: 2.0, 8: 0.0}.get(number, -float(number)) if name == "policy" else 0.0
            text = f"{name} \x1b[31msays {EVIL} {number}"
            about = {"id": f"{name}-{number}", "prompt": prompt, "model": name, "response": text}
            answers.append(EvaluatedResponse(**about, gold=gold, passed=gold >= 0, **marks))
    (root / "data" / "release").mkdir(parents=True)
    record_files.write(root / RESPONSES, answers)
