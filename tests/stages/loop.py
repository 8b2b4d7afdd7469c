"""Sets by hand on disk, and the stages of a round on them: tests bend params.yaml and the checkpoint that
they start from.
"""

import json
from pathlib import Path
from typing import Any

from alignloop import params as parameters
from alignloop.data.record_files import write
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.progress import Progress
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking, Split
from alignloop.stages.dpo import dpo
from alignloop.stages.evaluate import evaluate
from alignloop.stages.label import label
from alignloop.stages.ppo import ppo
from alignloop.stages.pretrain import pretrain
from alignloop.stages.reward import reward
from alignloop.stages.sample import sample
from alignloop.stages.sft import sft
from alignloop.training.checkpoints import Checkpoint

PROJECT = Path(__file__).parents[2]
QUESTIONS = ["Is the sea full of salt?", "Who painted the door?", "Is it green?", "Who knows?"]
ANSWERS = ["Yes, it is.", "Nobody.", "No.", "Who painted it?"]
TINY: dict[str, dict[str, Any]] = {
    "sft": {"epochs": 1.0, "demonstrations_per_step": 8},
    "decoding": {"max_new_tokens": 8, "responses_per_batch": 64},
    "sample": {"prompts": 6, "valid_prompts": 3, "responses_per_prompt": 3},
    "label": {"panel_utility": "form", "labelers": 4, "screening_items": 20, "screening_pass": 0.0},
    "reward": {"epochs": 1.0, "rankings_per_step": 4},
    "dpo": {
        "rankings_per_step": 4,
        "validations": 2,
        "validation_prompts": 8,
        "ptx_documents_per_step": 4,
    },
    "ppo": {
        "steps": 2,
        "prompts_per_step": 8,
        "minibatches": 2,
        "warmup_steps": 0,
        "value_warmup_steps": 0,
        "ptx_documents_per_step": 4,
    },
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
        prompts = [
            Prompt(id=f"p{number}", messages=(said("user", question),), user="u", source="s")
            for number, question, _ in asked
        ]
        for split in ("train", "valid", "test"):
            write(root / "prompts" / f"{split}.jsonl", prompts)
        about: dict[str, Any] = {"user": "u", "labeler": "l", "source": "s"}
        told = [
            Demonstration(id=f"d{n}", messages=(said("user", q), said("assistant", a)), **about)
            for n, q, a in asked
        ]
        write(root / "demonstrations" / "train.jsonl", told)
        write(root / "demonstrations" / "valid.jsonl", told[:4])
        for split in ("train", "valid"):
            write(
                root / "corpus" / f"{split}.jsonl",
                [Document(id=f"t{n}", text=f"{q} {a}", source="s") for n, q, a in asked],
            )
        ranked: dict[str, Any] = {
            "responses": tuple(ANSWERS[:3]),
            "kind": "panel",
            "policy": "models/sft",
            "round": "r1",
            "labeler": "l",
        }
        rankings = []
        for number, prompt in enumerate(prompts):
            split: Split = "train" if number < 12 else "valid"
            rankings.append(Ranking(id=f"k{number}", prompt=prompt, ranks=(1, 2, 3), split=split, **ranked))
        for place in (root / "rankings", root / "rankings" / "r1"):
            write(place / "r1.jsonl", rankings)

    def pretrain(self, params: Params) -> list[Progress]:
        """Take the checkpoint for the base."""
        at, taken = self.root, params.model_copy(update={"base": str(self.base)})
        self.base = at / "base"
        return list(
            bind(pretrain, taken)(
                Checkpoint.fresh(at, "pretrain"),
                at / "corpus",
                at / "base",
                at / "base.json",
                at / "base.csv",
            )
        )

    def sft(self, params: Params) -> list[Progress]:
        at = self.root
        return list(
            bind(sft, params)(
                Checkpoint.fresh(at, "sft"),
                self.base,
                at / "demonstrations",
                corpus=at / "corpus",
                out=at / "sft",
                metrics=at / "sft.json",
                plots=at / "sft.csv",
            ),
        )

    def reward(self, params: Params) -> list[Progress]:
        at = self.root
        return list(
            bind(reward, params)(
                Checkpoint.fresh(at, "reward"),
                "r1",
                sft=at / "sft",
                start=at / "sft",
                rankings=at / "rankings",
                demonstrations=at / "demonstrations",
                out=at / "reward",
                metrics=at / "reward.json",
                plots=at / "reward.csv",
            )
        )

    def ppo(
        self, params: Params, out: str = "policy", checkpoint: Checkpoint | None = None
    ) -> list[Progress]:
        return self._policy(ppo, params, out, checkpoint)

    def dpo(self, params: Params, out: str = "policy") -> list[Progress]:
        return self._policy(dpo, params, out)

    def _policy(
        self, by: Any, params: Params, out: str, checkpoint: Checkpoint | None = None
    ) -> list[Progress]:
        at = self.root
        models = {"start": at / "sft", "reward": at / "reward", "sft": at / "sft"}
        written = {
            "out": at / out,
            "rollouts": at / f"{out}-rollouts",
            "metrics": at / f"{out}.json",
            "plots": at / f"{out}.csv",
        }
        return list(
            bind(by, params)(
                checkpoint or Checkpoint.fresh(at, by.__name__),
                "r1",
                **models,
                prompts=at / "prompts",
                corpus=at / "corpus",
                **written,
            )
        )

    def next_round(self, params: Params, policy: str) -> list[Progress]:
        """Answers of a policy to rank, their rankings beside those known before, and what the policy
        achieved.
        """
        at = self.root
        drawn, ranked = at / "samples.jsonl", at / "ranked"
        told = list(
            bind(sample, params)("r2", at / policy, at / "prompts", drawn, at / "samples.json", at / "sft")
        )
        told += bind(label, params)(
            "r2",
            drawn,
            at / "rankings",
            out=ranked,
            metrics=at / "ranked.json",
            report=at / "ranked.md",
        )
        models = {
            "base": self.base,
            "sft": at / "sft",
            "before": at / "sft",
            "policy": at / policy,
            "reward": at / "reward",
        }
        sets = {
            "prompts": at / "prompts",
            "corpus": at / "corpus",
            "rankings": ranked,
            "rollouts": at / f"{policy}-rollouts/rollouts.jsonl",
        }
        numbers = {"headline": at / "headline.json", "metrics": at / "evaluate.json"}
        outs = {"out": at / "answers", "plots": at / "overoptimisation.csv", **numbers}
        return told + list(bind(evaluate, params)("r1", **models, **sets, **outs))

    def numbers(self, name: str) -> dict[str, Any]:
        """A stage's metrics."""
        return json.loads((self.root / f"{name}.json").read_text(encoding="utf-8"))


def said(role: Any, content: str) -> Message:
    return Message(role=role, content=content)
