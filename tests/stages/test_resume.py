"""A stage that is broken off after any step, or killed at any moment, and started again leaves the same
bytes as one that was not.
"""

import random
import time
from collections.abc import Callable, Generator, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml

from alignloop import params as parameters
from alignloop.data.record_files import write
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.progress import Progress
from alignloop.records import Demonstration, Document, Message, Prompt, Ranking
from alignloop.stages.dpo import dpo
from alignloop.stages.ppo import ppo
from alignloop.stages.pretrain import pretrain
from alignloop.stages.reward import reward
from alignloop.stages.sft import sft
from alignloop.training.checkpoints import Checkpoint

ROOT = Path(__file__).resolve().parents[2]
GUARDS = {
    "min_ended": {"limit": 0.5, "strength": "warn"},
    "max_held_out_fall": {"limit": 9.0, "strength": "stop"},
    "max_kl_per_response_nats": {"limit": 99.0, "strength": "fail"},
}
SMALL: dict[str, dict[str, Any]] = {
    "pretrain": {
        "vocabulary": 300,
        "layers": 1,
        "width": 32,
        "heads": 2,
        "context": 96,
        "epochs": 2,
        "documents_per_step": 8,
    },
    "sft": {"epochs": 2, "demonstrations_per_step": 4, "pretrain_share": 0.5},
    "reward": {"epochs": 3, "held_out_model": True},
    "decoding": {"max_new_tokens": 6},
    "dpo": {
        "loss": "kto",
        "rankings_per_step": 4,
        "validations": 2,
        "validation_prompts": 8,
        "ptx_documents_per_step": 8,
        "guards": GUARDS,
    },
    "ppo": {
        "steps": 3,
        "prompts_per_step": 8,
        "minibatches": 2,
        "warmup_steps": 2,
        "value_warmup_steps": 1,
        "ptx_documents_per_step": 8,
        "keep_rollouts_every": 2,
        "guards": GUARDS,
        "guard_window_steps": 2,
        "kl": {"coef": 0.1, "target_kl_per_response_nats": 0.5, "horizon_responses": 100},
    },
}


@pytest.fixture(scope="module")
def params() -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return parameters.parse(
        {key: value | SMALL[key] if key in SMALL else value for key, value in values.items()}, "params.yaml"
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of each record."""
    root = tmp_path_factory.mktemp("data")
    words = ("salt", "rock", "wood", "snow", "clay")
    for split, some in (("train", range(12)), ("valid", range(12, 18))):
        told = {
            number: (
                f"What is thing {number} made of?",
                f"Of {words[number % 5]}.",
                f"Of {words[(number + 1) % 5]}",
            )
            for number in some
        }
        about: dict[str, Any] = {"user": "u", "source": "s"}
        talks = {
            number: (Message(role="user", content=question), Message(role="assistant", content=answer))
            for number, (question, answer, _) in told.items()
        }
        prompts = {
            number: Prompt(id=f"p{number}", messages=talk[:1], **about) for number, talk in talks.items()
        }
        write(root / "prompts" / f"{split}.jsonl", prompts.values())
        demonstrations = [
            Demonstration(id=f"d{number}", messages=talk, labeler="l", **about)
            for number, talk in talks.items()
        ]
        write(root / "demonstrations" / f"{split}.jsonl", demonstrations)
        write(
            root / "corpus" / f"{split}.jsonl",
            [Document(id=f"t{n}", text=" ".join(words_), source="s") for n, words_ in told.items()],
        )
        origin: dict[str, Any] = {
            "labeler": "l",
            "kind": "person",
            "policy": "p",
            "round": "imported",
            "split": split,
        }
        rankings = [
            Ranking(id=f"r{n}", prompt=prompts[n], responses=told[n][1:], ranks=(1, 2), **origin)
            for n in prompts
        ]
        for place in (root / "rankings", root / "rankings" / "r1"):
            write(place / f"{split}.jsonl", rankings)
    return root


class Place:
    """A folder in which the five stages that train leave their outs."""

    def __init__(self, root: Path, params: Params, data: Path) -> None:
        self.root = root
        self.params = params
        self.data = data

    def begin(self, stage: Callable[..., Iterator[Progress]]) -> Generator[Progress]:
        data, root = self.data, self.root
        asked: dict[Any, dict[str, Any]] = {
            pretrain: {"corpus": data / "corpus"},
            sft: {
                "base": root / "base",
                "demonstrations": data / "demonstrations",
                "corpus": data / "corpus",
            },
            reward: {
                "round": "r1",
                "sft": root / "sft",
                "start": root / "sft",
                "rankings": data / "rankings",
                "demonstrations": data / "demonstrations",
            },
            ppo: {
                "round": "r1",
                "start": root / "sft",
                "reward": root / "reward",
                "sft": root / "sft",
                "prompts": data / "prompts",
            },
        }
        asked[dpo] = dict(asked[ppo])
        given = asked[stage]
        name = stage.__name__
        if stage in (ppo, dpo):
            given |= {"corpus": data / "corpus", "rollouts": root / f"{name}-rollouts"}
        outs = {
            "out": root / ("base" if stage is pretrain else name),
            "metrics": root / f"{name}.json",
            "plots": root / f"{name}.csv",
        }
        torch.manual_seed(len(list(root.glob("*"))))  # nothing may depend on torch's own stream
        return cast(
            "Generator[Progress]",
            bind(stage, self.params)(
                Checkpoint(root / "checkpoints", name, "f", 1 if stage in (ppo, dpo) else 2),
                **given,
                **outs,
            ),
        )

    def bytes(self) -> dict[str, bytes]:
        files = (path for path in self.root.rglob("*") if path.is_file() and "checkpoints" not in path.parts)
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


def killed(place: Place, stage: Callable[..., Iterator[Progress]], seconds: float) -> None:
    """Let a process work on the stage, and end it by SIGKILL."""
    process = get_context("fork").Process(target=lambda: list(place.begin(stage)))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()


def test_every_stage_that_trains_goes_on_to_the_same_bytes_wherever_it_was_left_or_killed(
    tmp_path: Path, params: Params, data: Path
):
    torch.set_num_threads(1)
    whole, broken = Place(tmp_path / "whole", params, data), Place(tmp_path / "broken", params, data)
    for stage in (pretrain, sft, reward, ppo, dpo):
        began = time.monotonic()
        expected = list(whole.begin(stage))
        seconds = time.monotonic() - began
        for steps in (len(expected) // 2, len(expected) - 1):
            killed(
                broken, stage, random.uniform(0, seconds)
            )  # any moment will do: what follows must not depend on it
            work = broken.begin(stage)
            for _ in range(steps):
                next(work)
            work.close()  # what it has not written down is gone
        told = list(broken.begin(stage))
        assert [(line.step, line.total, line.metrics) for line in told] == [
            (line.step, line.total, line.metrics) for line in expected
        ]
        assert any(line.recalled for line in told)
        assert not any(line.recalled for line in expected)
    assert broken.bytes() == whole.bytes()
    assert '"first_step_beyond": {\n    "min_ended": 2' in (tmp_path / "broken" / "ppo.json").read_text()
    assert {
        line.split('"step":')[1][0]
        for line in (tmp_path / "whole" / "ppo-rollouts" / "rollouts.jsonl").read_text().splitlines()
    } == {"2"}
