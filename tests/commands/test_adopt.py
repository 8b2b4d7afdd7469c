"""A policy trained elsewhere is evaluated on the test prompts, held to the gates and registered."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from alignloop.__main__ import main
from alignloop.core.models import load_policy, new_policy, save_policy
from alignloop.core.reward_model import RewardModel
from alignloop.core.tokens import train_tokenizer
from alignloop.data.record_files import write
from alignloop.evaluation.other_tokenizer import OtherTokens
from alignloop.evaluation.responses import load_test_set
from alignloop.params import load
from alignloop.pipeline.overrides import override
from alignloop.records import Document, EvaluatedResponse, Message, Prompt
from alignloop.release import adoption
from alignloop.tracking import registry
from alignloop.training.encoding import document_rows
from tests.conftest import PROJECT, TEXTS
from tests.evaluation.evaluations import evaluation

QUESTIONS = ["Is the sea full of salt?", "Who painted the door?", "Is it green?", "Who knows?"]
UNJUDGED = {"gold": None, "passed": None, "made_up": None, "over_refused": None}


@pytest.fixture
def loop(project: Path, tiny_policy: Path) -> Path:
    """A project after its last round: SFT, a reward model, test prompts with SFT's responses, and numbers."""
    last = list(load(project / "params.yaml").rounds)[-1]
    shutil.copytree(tiny_policy, project / "models" / "sft")
    policy, tokenizer = load_policy(tiny_policy)
    RewardModel.from_policy(policy, 3).save(project / "models" / last / "reward", tokenizer)
    prompts = [
        Prompt(id=f"p{n}", messages=(Message(role="user", content=text),), user="u", source="s")
        for n, text in enumerate(QUESTIONS * 2)
    ]
    write(project / "data" / "prompts" / "test.jsonl", prompts)
    write(project / "data" / "corpus" / "valid.jsonl", [Document(id="d", text=TEXTS[0], source="s")])
    responses = [
        EvaluatedResponse(
            id=f"sft-{prompt.id}",
            prompt=prompt,
            model="sft",
            response="No.",
            tokens=4,
            ended=True,
            score=-9.0,
            **UNJUDGED,
        )
        for prompt in prompts
    ]
    write(project / "data" / "evaluation" / last / "responses.jsonl", responses)
    metrics = project / "metrics" / "rounds" / last
    metrics.mkdir(parents=True)
    (metrics / "evaluate.json").write_text(json.dumps(evaluation()))
    (metrics / "reward.json").write_text('{"train_accuracy": 0.75, "valid_accuracy": 0.7}')
    (metrics / "label.json").write_text('{"all_rankings_by": {"people": 2}}')
    (project / "metrics" / "validation").mkdir()
    (project / "metrics" / "validation" / "raw.json").write_text('{"prompts": {"violations": 0}}')
    (project / "configs").mkdir()
    for name in ("rules.yaml", "red_team.jsonl"):
        shutil.copy(PROJECT / "configs" / name, project / "configs")
    (project / "releases").mkdir()
    (project / "releases" / "champion.json").write_text('{"champion": null, "previous": null}')
    override(project / "params.yaml", changes={"decoding.max_new_tokens": 8})
    return project


def train(model: Any, folder: Path, scratch: Path) -> None:
    """Three steps of plain transformers on two texts; the model and its tokenizer are saved."""
    tokenizer = AutoTokenizer.from_pretrained(Path("models", "sft"))
    rows = [tokenizer(text)["input_ids"][:32] for text in TEXTS]
    data: Any = [{"input_ids": row, "labels": row} for row in rows]
    plan = TrainingArguments(
        str(scratch),
        max_steps=3,
        learning_rate=1e-2,
        per_device_train_batch_size=1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    Trainer(model=model, args=plan, train_dataset=data).train()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def adopt(*words: str) -> int:
    return main(["adopt", *words])


def test_a_checkpoint_of_plain_transformers_is_judged_registered_and_approved(
    loop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tmp_path / "theirs"
    train(AutoModelForCausalLM.from_pretrained(loop / "models" / "sft"), trained, tmp_path / "scratch")
    assert adopt(str(trained), "--name", "theirs") == 0
    said = capsys.readouterr().out
    assert "against SFT: there is no champion yet" in said
    assert "registered alignloop-policy/1, trained elsewhere; numbers in metrics/adopted/theirs.json" in said
    version = registry.find(loop, "alignloop-policy/1")
    tags = version.tags
    assert (tags["trained"], tags["checkpoint"], tags["stage"]) == ("elsewhere", str(trained), "adopt")
    found = json.loads((loop / "metrics" / "adopted" / "theirs.json").read_text())
    rules = found["verdict"]["rules"]
    assert rules["traced"] == {"value": 1, "bound": 0, "met": False}, "its origin is not known"
    assert tags["gate:traced"] == "1, bound 0: NOT MET"
    assert tags["gates"] == "failed"
    assert abs(rules["max_kl_per_response_nats"]["value"]) > 1e-3
    assert rules["max_reward_model_gap"]["value"] == pytest.approx(0.05)
    assert found["verdict"]["wins"]["reward_model"]["rate"] == 1.0, "every score is above -9"
    assert "trained elsewhere" in version.description
    target = loop / ".cache" / "copy"
    registry.download(loop, version, target)
    mine, theirs = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (target, trained))
    assert all(torch.equal(mine[name], weight) for name, weight in theirs.items())
    assert main(["lineage", "alignloop-policy/1"]) == 0
    tree = capsys.readouterr().out
    assert tree.splitlines()[0].startswith(f"models/adopted/theirs  {version.hash}")
    assert tree.splitlines()[1].startswith("made by adopt, commit "), (
        "the same bytes: nothing was made of them"
    )
    override(
        loop / "params.yaml",
        changes={"release.gates.traced": False, "release.gates.max_behaviour_fall": None},
    )
    approve = ["review", "approve", "alignloop-policy/1", "--name", "ada", "--reason", "it is good"]
    assert main(approve) == 1
    assert "its gates say failed" in capsys.readouterr().err
    assert main([*approve, "--despite-gates"]) == 0
    assert registry.find(loop, "alignloop-policy@champion").version == 1
    assert adopt(str(trained), "--name", "again") == 0
    assert "registered alignloop-policy/1 @champion" in capsys.readouterr().out, "the same bytes"
    other = tmp_path / "other"
    save_policy(*load_policy(loop / "models" / "sft"), other)
    assert adopt(str(other), "--name", "other") == 0
    assert "against the champion" in capsys.readouterr().out
    registry.annotate(loop, registry.find(loop, "alignloop-policy/2"), {"trained": "", "stage": "ppo"})
    assert adopt(str(other), "--name", "other") == 1
    assert "these bytes are alignloop-policy/2 already" in capsys.readouterr().err


def test_an_adapter_is_merged_into_the_base_that_it_names(
    loop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = AutoModelForCausalLM.from_pretrained(Path("models", "sft"))
    torch.manual_seed(0)
    plan = LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(base, plan)
    adapter = tmp_path / "adapter"
    train(adapted, adapter, tmp_path / "scratch")
    assert (adapter / "adapter_model.safetensors").is_file()
    assert not list(adapter.glob("model*"))
    ids = torch.arange(20)[None]
    with torch.no_grad():
        wanted = adapted.eval()(input_ids=ids).logits
        plain = load_policy(loop / "models" / "sft")[0](input_ids=ids).logits
        assert adopt(str(adapter), "--name", "lora") == 0
        found = load_policy(loop / "models" / "adopted" / "lora")[0](input_ids=ids).logits
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-3)
    version = registry.find(loop, "alignloop-policy/1")
    assert version.tags["base"] == "models/sft"
    assert set(version.parents) == {str(adapter), "models/sft"}
    assert main(["lineage", "alignloop-policy/1"]) == 0
    tree = capsys.readouterr().out
    assert f"{adapter}  " in tree
    assert tree.count("no stage made it: raw bytes") == 2
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert adopt(str(adapter), "--name", "lora") == 1
    assert "only adapter_model.bin, a pickle that can run code" in capsys.readouterr().err
    (adapter / "adapter_model.bin").rename(adapter / "adapter_model.safetensors")
    assert adopt(str(adapter), "--name", "lora", "--base", "./gone") == 1
    assert "the adapter's base ./gone is not here; name its folder by --base" in capsys.readouterr().err
    _, tokenizer = load_policy(loop / "models" / "sft")
    wide = new_policy(tokenizer, layers=1, width=32, heads=2, context=96, seed=0)
    save_policy(wide, tokenizer, tmp_path / "wide")
    assert adopt(str(adapter), "--name", "lora", "--base", str(tmp_path / "wide")) == 1
    assert "the adapter does not fit" in capsys.readouterr().err
    deep = new_policy(tokenizer, layers=2, width=16, heads=2, context=96, seed=0)
    save_policy(deep, tokenizer, tmp_path / "deep")
    assert adopt(str(adapter), "--name", "lora", "--base", str(tmp_path / "deep")) == 1
    assert "places have no weight" in capsys.readouterr().err


def test_a_policy_with_another_tokenizer_is_measured_by_its_texts(loop: Path) -> None:
    folder = loop / "models" / "adopted" / "mine"
    tokenizer = train_tokenizer(["abc " * 9, *QUESTIONS], 280)
    save_policy(new_policy(tokenizer, layers=1, width=16, heads=2, context=96, seed=1), tokenizer, folder)
    params = load(loop / "params.yaml")
    judged = adoption.judge(params, loop, folder, "none")
    mine = [each for each in judged.responses if each.model == "policy"]
    tests = load_test_set(
        params.evaluate,
        loop / "data" / "prompts",
        loop / "data" / "corpus",
        loop / "models" / list(params.rounds)[-1] / "reward",
    )
    assert tests.tokenizer
    theirs = OtherTokens(tests.reward_model, tests.tokenizer)
    texts = [each.response for each in mine]
    scores = theirs.score([each.prompt for each in mine], texts)
    assert [each.score for each in mine] == pytest.approx(scores.tolist(), abs=1e-5)
    lengths = [len(row) for row in theirs.tokens(texts, [each.ended for each in mine])]
    assert [each.tokens for each in mine] == lengths
    assert judged.verdict["rules"]["max_kl_per_response_nats"] == {"value": None, "bound": 5.0, "met": False}
    assert any("its tokenizer is not SFT's" in note for note in judged.notes)
    # as many nats, over SFT's tokens
    document = tests.documents[0]
    count = len(tests.tokenizer.encode(document.text or "", add_special_tokens=False))
    own = len(tokenizer.encode(document.text or "", add_special_tokens=False))
    rows = document_rows(tokenizer, tests.documents, 96)
    assert theirs.loss(4.0, rows, tests.documents) == pytest.approx(4.0 * own / count)


def test_what_cannot_be_adopted_is_refused_with_one_message_each(
    loop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(name: str, change: Any, *more: str) -> str:
        folder = Path(shutil.copytree(loop / "models" / "sft", tmp_path / name))
        change(folder)
        assert adopt(str(folder), "--name", name, *more) == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    def quantise(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps({**values, "quantization_config": {"quant_method": "awq"}})
        )

    assert "the tokenizer has no chat template; give its folder a chat_template.jinja" in refused(
        "plain", lambda folder: (folder / "chat_template.jinja").unlink()
    )
    assert "the weights are quantised (awq), and training needs whole ones" in refused("packed", quantise)
    assert "only pytorch_model.bin, a pickle that can run code" in refused(
        "pickled", lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    )
    assert "is no adapter, so the base models/sft has no use" in refused(
        "based", lambda folder: None, "--base", "models/sft"
    )
    assert adopt("none", "--name", "none") == 1
    assert "none: no such checkpoint folder" in capsys.readouterr().err
    assert not (loop / "models" / "adopted").exists()
    shutil.rmtree(loop / "models" / "sft")
    assert adopt("x", "--name", "x") == 1
    assert "models/sft: a policy is judged by the loop's test prompts" in capsys.readouterr().err
    assert adopt("x", "--name", "../x") == 2
