"""A registered policy is an MLflow model: it loads by transformers and pyfunc, and responds as ours does."""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow.artifacts import download_artifacts
from mlflow.transformers import load_model

from alignloop import tracking
from alignloop.core.generate import sample
from alignloop.core.models import load_policy, save_policy, token_rules
from alignloop.core.tokens import decode, encode_prompt, encode_response
from alignloop.pipeline import dvc_pipeline
from alignloop.tracking import registry
from alignloop.tracking.mlflow_model import ModelFilesError, write_model_files
from alignloop.tracking.registry import RegistryError, Version

GREEDY = 1e-4  # a temperature at which the likeliest token is always drawn
MESSAGES = [{"role": "user", "content": "Is the sea full of salt?"}]


@pytest.fixture(scope="module")
def taught(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned one response by heart; random weights give special tokens."""
    model, tokenizer = load_policy(tiny_policy)
    prompt = encode_prompt(tokenizer, MESSAGES)
    response = encode_response(tokenizer, "Yes, it is. Who painted the door?")
    ids = torch.tensor([prompt + response])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("taught") / "policy"
    save_policy(model, tokenizer, folder)
    return folder


@pytest.fixture
def policy(project: Path, taught: Path, monkeypatch: pytest.MonkeyPatch) -> Version:
    """A released policy, and the store that MLflow itself looks into."""
    (project / "models").mkdir()
    (project / "models" / "sft").symlink_to(taught)
    hash = dvc_pipeline.hash_of(taught, project)
    with tracking.run(project, "sft") as run:
        run.finish({"models/sft": hash})
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    mlflow.set_tracking_uri(tracking.store_uri(project))
    version = registry.register(
        project,
        "alignloop-policy",
        "models/sft",
        hash,
        run=run.id,
        description="",
        parents={},
        tags={"stage": "sft", "round": ""},
        generation={"do_sample": False, "max_new_tokens": 30},
    )
    registry.set_alias(project, "champion", version)
    return registry.find(project, "alignloop-policy@champion")


def ours(folder: Path, tokens: int) -> str:
    """Our own greedy response."""
    model, tokenizer = load_policy(folder)
    drawn = sample(
        model,
        [encode_prompt(tokenizer, MESSAGES)],
        token_rules(tokenizer, model),
        temperature=GREEDY,
        max_new_tokens=tokens,
        generator=torch.Generator().manual_seed(0),
        batch=1,
    )
    return decode(tokenizer, drawn.ids[0])


def test_the_champion_loads_by_its_alias_and_responds_as_our_own_sampler(policy: Version, taught: Path):
    uri = "models:/alignloop-policy@champion"
    pipeline: Any = load_model(uri)
    [answer] = pipeline(MESSAGES, do_sample=False, max_new_tokens=30)
    assert answer["generated_text"][:-1] == MESSAGES
    assert answer["generated_text"][-1] == {"role": "assistant", "content": ours(taught, 30)}
    assert ours(taught, 30).startswith("Yes, it is.")
    [completion] = mlflow.pyfunc.load_model(uri).predict({"messages": MESSAGES})
    assert completion["choices"][0]["message"] == {"role": "assistant", "content": ours(taught, 30)}
    [shorter] = mlflow.pyfunc.load_model(uri).predict({"messages": MESSAGES, "max_tokens": 3})
    assert shorter["choices"][0]["message"]["content"] == ours(taught, 3)


def test_what_mlflow_downloads_is_a_folder_of_hugging_face_with_the_weights_once(
    policy: Version, taught: Path, tmp_path: Path
):
    folder = Path(download_artifacts("models:/alignloop-policy@champion"))
    for file in taught.iterdir():
        assert (folder / file.name).read_bytes() == file.read_bytes()
    load_policy(folder)
    assert len(list(folder.rglob("*.safetensors"))) == 1
    text = (folder / "requirements.txt").read_text()
    assert text.split() == [
        f"mlflow=={mlflow.__version__}",
        f"torch=={torch.__version__.partition('+')[0]}",
        f"transformers=={version('transformers')}",
    ]
    registry.download(Path.cwd(), policy, tmp_path / "champion")
    names = [{file.name for file in place.iterdir()} for place in (tmp_path / "champion", taught)]
    assert names[0] == names[1], "the checkpoint alone, whatever MLflow has added"


def test_a_changed_copy_is_refused_by_its_hash(policy: Version, tmp_path: Path):
    file = Path(policy.source.removeprefix("file://"), "config.json")
    file.write_text(file.read_text() + " ")
    with pytest.raises(RegistryError, match=r"registered was .*; it was changed"):
        registry.download(Path.cwd(), policy, tmp_path / "champion")


def test_the_models_tab_has_one_ready_model_also_after_an_interrupted_registration(
    policy: Version, project: Path
):
    client = tracking.client(tracking.store_uri(project))
    [model] = client.search_logged_models(["1"])
    assert (model.name, str(model.status), model.tags["dvc"]) == ("alignloop-policy", "READY", policy.hash)
    client.delete_model_version(policy.name, str(policy.version))
    again = registry.register(
        project,
        policy.name,
        policy.path,
        policy.hash,
        run=policy.run or "",
        description="",
        parents={},
        tags={"stage": "sft", "round": ""},
        generation={},
    )
    assert again.source == policy.source
    assert len(client.search_logged_models(["1"])) == 1


def test_a_family_that_needs_foreign_code_is_refused(tmp_path: Path, tiny_policy: Path):
    folder = tmp_path / "policy"
    shutil.copytree(tiny_policy, folder)
    config = (folder / "config.json").read_text().replace("LlamaForCausalLM", "ForeignForCausalLM")
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelFilesError, match=r"policy: transformers .* has no ForeignForCausalLM"):
        write_model_files(folder, tmp_path / "files", "m-1", {})
