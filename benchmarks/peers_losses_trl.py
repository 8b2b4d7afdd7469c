"""DPO's, IPO's and KTO's losses by TRL 1.0.0, for `benchmarks.peers_losses`; runs in TRL's own environment.

    python benchmarks/peers_losses_trl.py FOLDER

Reads FOLDER/policy and FOLDER/reference (checkpoints) and FOLDER/pairs.json. DPO and IPO are those of a
DPOTrainer on the pairs' tokens, KTO is `KTOTrainer.kto_loss` of log-probabilities by TRL's function. Prints
the losses as JSON.
"""

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportMissingImports]
from trl.experimental.kto import KTOTrainer  # pyright: ignore[reportMissingImports]
from trl.trainer.utils import selective_log_softmax  # pyright: ignore[reportMissingImports]


def padded(rows, starts):
    """Rows of tokens as TRL's collator gives them."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    said = torch.tensor(
        [
            [int(start <= place < len(row)) for place in range(width)]
            for row, start in zip(rows, starts, strict=True)
        ]
    )
    return {"input_ids": ids, "attention_mask": mask, "completion_mask": said}


def logprobs(model, rows, starts):
    """Summed log-probabilities of the responses."""
    inputs = padded(rows, starts)
    with torch.no_grad():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    tokens = selective_log_softmax(logits[:, :-1], inputs["input_ids"][:, 1:])
    return (tokens * inputs["completion_mask"][:, 1:]).sum(1)


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    given = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")

    def model(name):
        return AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32).eval()

    pairs = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 2)
    found = {}
    with contextlib.redirect_stdout(sys.stderr):
        for name, kind in (("dpo", "sigmoid"), ("ipo", "ipo")):
            config = DPOConfig(
                output_dir=str(folder / "trl"),
                loss_type=[kind],
                beta=given["beta"],
                report_to="none",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
            )
            trainer = DPOTrainer(
                model("policy"),
                model("reference"),
                args=config,
                train_dataset=pairs,
                processing_class=tokenizer,
            )
            inputs = padded(given["chosen"] + given["rejected"], given["starts"] * 2)
            with torch.no_grad():
                found[name] = float(trainer._compute_loss(trainer.model.eval(), inputs, return_outputs=False))
        parts = []
        for mine in ("policy", "reference"):
            reader = model(mine)
            parts.append(
                [
                    logprobs(reader, given[rows], given["starts"])
                    for rows in ("chosen", "rejected", "unrelated")
                ]
            )
        settings = SimpleNamespace(
            calculate_KL=True, accelerator=Accelerator(cpu=True), loss_type="kto", beta=given["beta"]
        )
        settings.desirable_weight, settings.undesirable_weight = given["weights"]
        losses, *_ = KTOTrainer.kto_loss(settings, *parts[0], *parts[1])
        found["kto"] = float(losses.mean())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
