"""The files that make a checkpoint an MLflow model, which `mlflow.transformers.load_model` and pyfunc load.

They lie beside those of the checkpoint, whose folder stays one of Hugging Face's: MLflow reads the weights
from there. `mlflow.transformers.save_model` would copy them, and ask the hub for a model card.
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from mlflow.utils.environment import _PythonEnv
from packaging.version import Version

from alignloop.errors import AlignloopError

TASK = "text-generation"
CHAT = "llm/v1/chat"  # pyfunc and `mlflow models serve` take and give messages, by the chat template
PACKAGES = ("mlflow", "torch", "transformers")
REQUIREMENTS = "requirements.txt"
PYTHON, CONDA = "python_env.yaml", "conda.yaml"
TOKENIZER = Path("components", "tokenizer")
# to the checkpoint's folder; the last one by MLflow, where somebody loads the model
ADDED = ("MLmodel", REQUIREMENTS, PYTHON, CONDA, "components", "registered_model_meta")


class ModelFilesError(AlignloopError):
    """A checkpoint that MLflow could not load without running foreign code."""


def write_model_files(checkpoint: Path, folder: Path, model_id: str, generation: dict[str, Any]) -> None:
    """Write the files for a causal language model to `folder`.

    `generation` is how pyfunc generates where a request says nothing: `{"max_new_tokens": 40}`.
    """
    # these bring torch, which those who only search the registry do without
    import transformers
    from mlflow import pyfunc
    from mlflow.models import Model
    from mlflow.transformers.llm_inference_utils import infer_signature_from_llm_inference_task

    from alignloop.core.checkpoint_folder import load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    tokenizer.save_pretrained(folder / TOKENIZER)
    flavor = {
        "task": TASK,
        "inference_task": CHAT,
        "instance_type": "TextGenerationPipeline",
        "pipeline_model_type": _known(_architecture(checkpoint), checkpoint),
        "source_model_name": checkpoint.name,
        "model_binary": ".",  # the folder itself
        "components": ["tokenizer"],
        "tokenizer_type": _known(type(tokenizer).__name__, checkpoint),
    }
    model = Model(
        model_id=model_id,
        signature=infer_signature_from_llm_inference_task(CHAT),
        metadata={"task": CHAT},
        model_size_bytes=sum(file.stat().st_size for file in checkpoint.rglob("*") if file.is_file()),
    )
    model.add_flavor("transformers", transformers_version=transformers.__version__, code=None, **flavor)
    pyfunc.add_to_model(
        model,
        loader_module="mlflow.transformers",
        conda_env=CONDA,
        python_env=PYTHON,
        model_config=generation,
    )
    model.save(str(folder / "MLmodel"))
    requirements = [f"{name}=={Version(version(name)).public}" for name in PACKAGES]
    (folder / REQUIREMENTS).write_text("\n".join(requirements) + "\n", encoding="utf-8")
    environment = _PythonEnv.current()
    environment.to_yaml(str(folder / PYTHON))
    needed = [f"python={environment.python}", "pip", {"pip": requirements}]
    text = yaml.safe_dump({"name": "mlflow-env", "channels": ["conda-forge"], "dependencies": needed})
    (folder / CONDA).write_text(text, encoding="utf-8")


def remove_model_files(folder: Path) -> None:
    """Leave only the checkpoint in a folder that holds an MLflow model."""
    for path in (folder / name for name in ADDED):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _architecture(checkpoint: Path) -> str:
    return json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["architectures"][0]


def _known(name: str, checkpoint: Path) -> str:
    """Return the name of a class of transformers; MLflow would load another with trust_remote_code."""
    import transformers

    if not hasattr(transformers, name):
        raise ModelFilesError(
            f"{checkpoint}: transformers {transformers.__version__} has no {name}, so that MLflow would run "
            "code of the checkpoint to load it; use a checkpoint of a family that transformers has"
        )
    return name
