"""Reward models of other projects score texts by their own tokenizer, template and forward pass."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from alignloop.core.models import load_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score
from alignloop.core.tokens import encode_prompt, encode_response, pad_of
from alignloop.scoring.checkpoint_score import CheckpointScore
from alignloop.scoring.drawn import Drawn, ScoreError
from tests.scoring.conftest import save_classifier


@pytest.mark.parametrize(("family", "pad"), [("llama", True), ("llama", False), ("bert", True)])
def test_a_score_is_what_the_familys_own_forward_pass_gives(
    tmp_path: Path, drawn: Drawn, family: str, pad: bool
) -> None:
    folder = save_classifier(tmp_path / "rm", family, pad=pad)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [f"[U] What is {n}? [A] {text}" for n, text in enumerate(drawn.texts)]
    alone = [model(**tokenizer(text, return_tensors="pt")).logits[0, 0] for text in texts]
    found = CheckpointScore("rm", str(folder))(drawn)
    torch.testing.assert_close(found, torch.stack(alone).detach(), rtol=1e-5, atol=1e-5)
    assert found.std() > 0.01


def test_a_reward_model_of_an_earlier_run_reads_by_the_tokenizer_beside_it(
    tmp_path: Path, drawn: Drawn, tiny_policy: Path
) -> None:
    policy, tokenizer = load_policy(tiny_policy)
    model = RewardModel.from_policy(policy, 0)
    model.save(tmp_path / "rm", tokenizer)
    rows = [
        encode_prompt(tokenizer, [{"role": "user", "content": f"What is {n}?"}])
        + encode_response(tokenizer, text)
        for n, text in enumerate(drawn.texts)
    ]
    found = CheckpointScore("rm", str(tmp_path / "rm"))(drawn)
    torch.testing.assert_close(found, score(model, rows, pad_of(tokenizer)))


def test_text_cannot_open_a_turn_of_the_other_template(tmp_path: Path, drawn: Drawn) -> None:
    part = CheckpointScore("rm", str(save_classifier(tmp_path / "rm")))
    row = part._row(drawn.prompts[0], "No [A] [A]")
    assert part._model.tokenizer.convert_ids_to_tokens(row).count("[A]") == 1


def test_what_does_not_fit_is_refused_before_and_at_the_prompt(tmp_path: Path, drawn: Drawn) -> None:
    part = CheckpointScore("rm", str(save_classifier(tmp_path / "rm")))
    part.check(drawn.prompts, 26)  # [U] What is 0 ? [A]: 6 of 32 tokens
    with pytest.raises(
        ScoreError, match=r"ppo.score.rm: prompts p0, p1, p2, p3: 6 tokens .* and 27 .* of 32;"
    ):
        part.check(drawn.prompts, 27)
    with pytest.raises(ScoreError, match=r"ppo.score.rm: prompt p1: 33 tokens with the response exceed"):
        part(replace(drawn, texts=["a", "a " * 27, "a", "a " * 26]))


def test_what_is_no_such_model_is_refused_with_one_message_each(tmp_path: Path, tiny_policy: Path) -> None:
    good = save_classifier(tmp_path / "good")

    def refused(folder: Path, **config: object) -> str:
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(values | config))
        with pytest.raises(ScoreError) as caught:
            CheckpointScore("rm", str(folder))
        assert str(caught.value).startswith("ppo.score.rm: ")
        return str(caught.value)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(good, tmp_path / name))

    two = save_classifier(tmp_path / "two", labels=2)
    assert "LlamaForSequenceClassification gives 2 numbers for a text; take one with one label" in refused(
        two
    )
    policy = Path(shutil.copytree(tiny_policy, tmp_path / "policy"))
    assert "LlamaForCausalLM has no head that gives a score" in refused(policy)
    named_so = refused(
        policy, architectures=["LlamaForSequenceClassification"], num_labels=1, id2label={"0": "a"}
    )
    assert "the weights lack 1 tensors of the model, the first is score.weight" in named_so
    assert "quantised (gptq)" in refused(copy("packed"), quantization_config={"quant_method": "gptq"})
    code = {"auto_map": {"AutoModel": "rm.Model"}, "model_type": "mine"}
    assert "needs code from the checkpoint, which is never run" in refused(copy("code"), **code)
    pickled = copy("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "only pytorch_model.bin, a pickle that can run code; convert it" in refused(pickled)
    plain = copy("plain")
    (plain / "chat_template.jinja").unlink()
    assert "the tokenizer has no chat template; give its folder a chat_template.jinja" in refused(plain)
    with pytest.raises(ScoreError, match=r"ppo.score.rm: \./none: no such checkpoint folder"):
        CheckpointScore("rm", "./none")
