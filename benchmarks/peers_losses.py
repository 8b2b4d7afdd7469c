"""DPO's, IPO's and KTO's losses here and in TRL 1.0.0, on the same checkpoints and tokens.

    python3 -m venv PEER && PEER/bin/pip install torch==2.13.0 trl==1.0.0
    python -m benchmarks.peers_losses --trl PEER/bin/python

Fails if a loss differs by more than 1e-6. Two models of fresh weights stand for policy and reference; pairs
have responses of 3 to 12 tokens. IPO's log-ratios are a token in TRL, so `length_normalised` is set for it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from alignloop.core.dpo import compare, measure
from alignloop.core.dpo_config import DpoConfig
from alignloop.core.encoded_ranking import EncodedRanking
from alignloop.core.models import new_policy, save_policy, vocabulary_of
from alignloop.core.ranked_logprobs import Reading
from alignloop.core.tokens import TokenRules, end_of, pad_of, train_tokenizer

BETA, WEIGHTS, TOLERANCE = 0.3, (1.0, 1.5), 1e-6
CONFIG = DpoConfig(
    loss="dpo",
    beta=BETA,
    label_smoothing=0.0,
    length_normalised=False,
    ties="skip",
    margin=0.0,
    desirable_weight=WEIGHTS[0],
    undesirable_weight=WEIGHTS[1],
    ptx_coef=0.0,
    ptx_documents_per_step=0,
)
KINDS = {
    "dpo": CONFIG,
    "ipo": replace(CONFIG, loss="ipo", length_normalised=True),
    "kto": replace(CONFIG, loss="kto"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both losses of each kind and their difference; 1 if one is too large."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers_losses", description=__doc__)
    parser.add_argument("--trl", required=True, help="the Python of an environment with TRL 1.0.0")
    parser.add_argument("--pairs", type=int, default=64)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tokenizer = train_tokenizer(["The moon is made of rock, and the sea is full of salt."] * 3, 300)
    models = [new_policy(tokenizer, layers=2, width=64, heads=4, context=64, seed=seed) for seed in (0, 1)]
    with torch.no_grad():
        for model in models:  # so that log-ratios are nats, not thousandths
            for weight in model.parameters():
                weight.mul_(4 if weight.dim() > 1 else 1)
    policy, reference = models[0].eval(), models[1].eval()
    rankings = drawn_pairs(options.pairs)
    everything = torch.ones(vocabulary_of(policy), dtype=torch.bool)
    reading = Reading(TokenRules(everything, end_of(tokenizer), pad_of(tokenizer)), 1.0, packed=True)
    mine, others = {}, []
    for name, config in KINDS.items():
        compared = compare(reference, rankings, reading, config, 64)
        mine[name] = measure(policy, compared, reading, config)["loss"]
        others = [each.other.ranking.rows[0] for each in compared if each.other]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_policy(policy, tokenizer, folder / "policy")
        save_policy(reference, tokenizer, folder / "reference")
        pairs = {
            "beta": BETA,
            "weights": WEIGHTS,
            "chosen": [each.rows[0] for each in rankings],
            "rejected": [each.rows[1] for each in rankings],
            "unrelated": others,
            "starts": [each.shared for each in rankings],
        }
        (folder / "pairs.json").write_text(json.dumps(pairs), encoding="utf-8")
        script = Path(__file__).with_name("peers_losses_trl.py")
        said = subprocess.run(
            [options.trl, script, folder], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    theirs = json.loads(said.splitlines()[-1])
    print("| loss | here | TRL 1.0.0 | difference |\n|---|---|---|---|")
    for name in KINDS:
        print(f"| {name} | {mine[name]:.7f} | {theirs[name]:.7f} | {abs(mine[name] - theirs[name]):.1e} |")
    worst = max(abs(mine[name] - theirs[name]) for name in KINDS)
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


def drawn_pairs(count: int) -> list[EncodedRanking]:
    """Pairs of random tokens, each to a prompt of its own."""
    random = np.random.default_rng(0)

    def tokens(low: int, high: int) -> list[int]:
        return random.integers(5, 260, size=int(random.integers(low, high))).tolist()

    prompts = [tokens(4, 20) for _ in range(count)]
    return [
        EncodedRanking([[*prompt, *tokens(3, 12), 1], [*prompt, *tokens(3, 12), 1]], [1, 2], len(prompt))
        for prompt in prompts
    ]


if __name__ == "__main__":
    sys.exit(main())
