"""Sets by hand on disk, and SFT, reward model and PPO as stages on them: tests bend params.yaml and the checkpoint that they start from."""

import json
from pathlib import Path
from typing import Any

from alignloop import params as parameters
from alignloop.io.checkpoints import Checkpoint
from alignloop.io.datasets import write
from alignloop.params import Params
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Split
from alignloop.stages.ppo import ppo
from alignloop.stages.progress import Progress
from alignloop.stages.reward import reward
from alignloop.stages.sft import sft

PROJECT = Path(__file__).parents[2]
QUESTIONS = ["Is the sea full of salt?", "Who painted the door?", "Is it green?", "Who knows?"]
ANSWERS = ["Yes, it is.", "Nobody.", "No.", "Who painted it?"]
TINY: dict[str, dict[str, Any]] = {
    "sft": {"epochs": 1.0, "demonstrations_per_step": 8},
    "decoding": {"max_new_tokens": 8, "batch": 64},
    "reward": {"epochs": 1.0, "rankings_per_step": 4},
    "ppo": {"steps": 2, "prompts_per_step": 8, "minibatches": 2, "warmup_steps": 0, "value_warmup_steps": 0, "ptx_documents_per_step": 4},
}


def tiny(**changes: dict[str, Any]) -> Params:
    """params.yaml at its smallest, with changes by section."""
    values = parameters.load(PROJECT / "params.yaml").model_dump(by_alias=True)
    values["rounds"] = {"r1": values["rounds"]["r1"]}
    for section in (*TINY, *changes):
        values[section] |= {**TINY.get(section, {}), **changes.get(section, {})}
    return parameters.parse(values, "params.yaml")


class Loop:
    """A folder with prompts, demonstrations, rankings and a corpus; each stage writes beside them."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root, self.base = root, base
        asked = [(number, QUESTIONS[number % 4], ANSWERS[number // 4 % 4]) for number in range(16)]
        prompts = [Prompt(id=f"p{number}", messages=(said("user", question),), user="u", source="s") for number, question, _ in asked]
        write(root / "prompts" / "train.jsonl", prompts)
        about: dict[str, Any] = {"user": "u", "labeler": "l", "source": "s"}
        told = [Demonstration(id=f"d{n}", messages=(said("user", q), said("assistant", a)), **about) for n, q, a in asked]
        write(root / "demonstrations" / "train.jsonl", told)
        write(root / "demonstrations" / "valid.jsonl", told[:4])
        write(root / "corpus" / "train.jsonl", [Document(id=f"t{n}", text=f"{q} {a}", source="s") for n, q, a in asked])
        ranked: dict[str, Any] = {"responses": tuple(ANSWERS[:3]), "kind": "panel", "policy": "models/sft", "round": "r1", "labeler": "l"}
        rankings = []
        for number, prompt in enumerate(prompts):
            split: Split = "train" if number < 12 else "valid"
            rankings.append(Ranking(id=f"k{number}", prompt=prompt, ranks=(1, 2, 3), split=split, **ranked))
        write(root / "rankings" / "r1.jsonl", rankings)

    def sft(self, params: Params) -> list[Progress]:
        at = self.root
        return list(
            sft(
                params,
                Checkpoint.fresh(at, "sft"),
                self.base,
                at / "demonstrations",
                at / "corpus",
                at / "sft",
                at / "sft.json",
                at / "sft.csv",
            ),
        )

    def reward(self, params: Params) -> list[Progress]:
        at = self.root
        return list(
            reward(
                params,
                Checkpoint.fresh(at, "reward"),
                "r1",
                at / "sft",
                at / "rankings",
                at / "demonstrations",
                at / "reward",
                at / "reward.json",
                at / "reward.csv",
            )
        )

    def ppo(self, params: Params, out: str = "policy") -> list[Progress]:
        at = self.root
        models = {"start": at / "sft", "reward": at / "reward", "sft": at / "sft"}
        written = {"out": at / out, "rollouts": at / f"{out}-rollouts", "metrics": at / f"{out}.json", "plots": at / f"{out}.csv"}
        return list(ppo(params, Checkpoint.fresh(at, "ppo"), "r1", **models, prompts=at / "prompts", corpus=at / "corpus", **written))

    def numbers(self, name: str) -> dict[str, Any]:
        """A stage's metrics."""
        return json.loads((self.root / f"{name}.json").read_text(encoding="utf-8"))


def said(role: Any, content: str) -> Message:
    return Message(role=role, content=content)
