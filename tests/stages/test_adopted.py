"""A round takes a policy that was trained elsewhere: nobody labels, the reward model is the earlier one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from alignloop.checks.adopted_rounds import check_adopted
from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import train_tokenizer
from alignloop.data.record_files import read
from alignloop.params import Params, ParamsError, parse
from alignloop.params.binding import bind
from alignloop.progress import Progress
from alignloop.records import Ranking, Rollout, Samples
from alignloop.stages.adopted import adopted
from alignloop.stages.label import label
from alignloop.stages.reward import reward
from alignloop.stages.sample import sample
from alignloop.training.checkpoints import Checkpoint
from tests.conftest import TEXTS
from tests.stages.loop import Loop, tiny

ROUND = {"policy": "models/sft", "start": "models/sft", "reward_start": "models/sft"}


@pytest.fixture
def loop(tmp_path: Path, tiny_policy: Path) -> Loop:
    made = Loop(tmp_path, tiny_policy)
    shutil.copytree(tiny_policy, tmp_path / "sft")
    made.reward(tiny())
    return made


def adapter(folder: Path, base: Path) -> Any:
    """An adapter with weights of its own, as PEFT saves it; returns the adapted model."""
    model: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules=["q_proj", "v_proj"])
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(folder)
    return model


def take(loop: Loop, start: Path, **changes: Any) -> list[Progress]:
    at = loop.root
    models = {"start": start, "reward": at / "reward", "sft": at / "sft"}
    written = {
        "out": at / "taken",
        "rollouts": at / "taken-rollouts",
        "metrics": at / "taken.json",
        "plots": at / "taken.csv",
    }
    work = bind(adopted, tiny(**changes))
    return list(work("r2", **models, prompts=at / "prompts", corpus=at / "corpus", **written))


def test_a_whole_checkpoint_and_an_adapter_become_the_rounds_policy(loop: Loop) -> None:
    theirs = loop.root / "theirs"
    policy, tokenizer = load_policy(loop.root / "sft")
    with torch.no_grad():
        for weight in policy.parameters():
            weight.mul_(1.01)
    save_policy(policy, tokenizer, theirs)
    assert take(loop, theirs)[-1].note == f"{theirs} is the policy; it was trained elsewhere"
    mine = load_policy(loop.root / "taken")[0].state_dict()
    assert all(torch.equal(mine[name], weight) for name, weight in policy.state_dict().items())
    assert loop.numbers("taken") == {"weights": policy.num_parameters(), "adapter": 0}
    assert read(loop.root / "taken-rollouts" / "rollouts.jsonl", Rollout, allow_empty=True) == []

    model = adapter(loop.root / "adapter", loop.root / "sft")
    assert take(loop, loop.root / "adapter")[-1].note.endswith(
        f"an adapter merged into {loop.root / 'sft'}; it was trained elsewhere"
    )
    merged, ids = model.merge_and_unload(), torch.arange(12)[None]
    with torch.no_grad():
        theirs_say, mine_say = (each(ids).logits for each in (merged, load_policy(loop.root / "taken")[0]))
    assert torch.allclose(theirs_say, mine_say, atol=1e-5)
    assert loop.numbers("taken")["adapter"] == 1


def test_a_checkpoint_of_other_tokens_is_refused(loop: Loop) -> None:
    tokenizer = train_tokenizer([*TEXTS, "other words are here"], 290)
    save_policy(new_policy(tokenizer, 1, 16, 2, context=96, seed=1), tokenizer, loop.root / "other")
    with pytest.raises(
        CheckpointError, match="other: its tokenizer, chat template or vocabulary is not that"
    ):
        take(loop, loop.root / "other")
    assert not (loop.root / "taken").exists()


def test_nobody_labels_and_the_reward_model_is_that_of_the_round_before(loop: Loop) -> None:
    at, params = loop.root, tiny()
    drawn, rankings = at / "samples.jsonl", at / "ranked"
    bound = bind(sample, params)
    told = list(bound("r2", at / "sft", at / "prompts", drawn, at / "s.json", at / "reward", by="adopted"))
    assert told[-1].note == "draws nothing: its policy is adopted, so nobody would rank it"
    assert read(drawn, Samples, allow_empty=True) == []
    told = list(
        bind(label, params)("r2", drawn, at / "rankings", rankings, at / "l.json", at / "l.md", by="adopted")
    )
    assert "No new labels: its policy is adopted. 16 rankings were known before" in (at / "l.md").read_text()
    known = read(at / "rankings", Ranking)
    assert read(rankings, Ranking) == known
    list(
        bind(reward, params)(
            Checkpoint.fresh(at, "reward"),
            "r2",
            sft=at / "sft",
            start=at / "reward",
            rankings=at / "rankings",
            demonstrations=at / "demonstrations",
            out=at / "again",
            metrics=at / "again.json",
            plots=at / "again.csv",
            by="adopted",
        )
    )
    for file in (at / "reward").iterdir():
        assert (at / "again" / file.name).read_bytes() == file.read_bytes()
    before, now = loop.numbers("reward"), loop.numbers("again")
    assert now["agreement"]["users"] == before["agreement"]["users"]
    assert now["normalisation"] == pytest.approx(float(RewardModel.load(at / "reward").normalisation))
    assert (now["rankings"], now["demonstrations"]) == (12, 0)
    assert 0 <= now["train_accuracy"] <= 1


def rounds(**changes: str) -> Params:
    values = tiny().model_dump(by_alias=True)
    first = values["rounds"]["r1"]
    second = {
        "policy": "models/r1/policy",
        "start": "elsewhere/theirs",
        "reward_start": "models/r1/reward",
        "rankings": "data/rankings/r1",
        "by": "adopted",
    }
    third = first | {"policy": "models/r2/policy", "start": "models/r2/policy", "by": "dpo"}
    third |= {"reward_start": "models/r2/reward", "rankings": "data/rankings/r2"}
    values["rounds"] = {"r1": first, "r2": {**second, **changes}, "r3": third}
    return parse(values, "params.yaml")


def test_a_rounds_start_is_elsewhere_and_its_rankings_are_what_the_reward_model_learned_from() -> None:
    assert list(rounds().rounds) == ["r1", "r2", "r3"]
    with pytest.raises(ParamsError, match="'models/sft' is a model of this loop, and by: adopted takes one"):
        rounds(start="models/sft")
    with pytest.raises(
        ParamsError, match=r"is not what 'models/r1/reward' learned from, .*; set it to data/rankings/r1"
    ):
        rounds(rankings="data/rankings/imported")


def test_what_is_wrong_with_a_checkpoint_is_said_before_anything_runs(
    tmp_path: Path, tiny_policy: Path
) -> None:
    place = tmp_path / "elsewhere" / "theirs"

    def faults(**changes: Any) -> list[str]:
        params = rounds().model_copy(update={"adopted": rounds().adopted.model_copy(update=changes)})
        return [f"{each.message}; {each.remedy}" for each in check_adopted(params, tmp_path)]

    assert faults() == [
        "rounds.r2.start: elsewhere/theirs: no such folder; put the checkpoint there, or correct the path in "
        "params.yaml"
    ]
    shutil.copytree(tiny_policy, place)
    assert faults() == []
    assert "is no adapter, so adopted.base (x) has no use" in faults(base="x")[0]
    (place / "chat_template.jinja").unlink()
    (place / "model.safetensors").unlink()
    found = faults()
    assert "there are no weights (*.safetensors)" in found[0]
    assert "it has no chat template; put the chat_template.jinja that it was trained with" in found[1]
    shutil.rmtree(place)
    adapter(place, tiny_policy)
    assert faults() == []
    assert "the adapter's base away/base/model is not here" in faults(base="away/base/model")[0]
    assert faults(base="models/sft") == [], "the loop makes it"
    config = json.loads((place / "adapter_config.json").read_text())
    (place / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    assert "names no base model; set adopted.base" in faults()[0]
