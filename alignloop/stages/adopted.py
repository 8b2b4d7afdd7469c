"""A round's policy that was trained elsewhere: its checkpoint is checked and taken; nothing is trained."""

from collections.abc import Iterator
from pathlib import Path

from alignloop.core.adopted import policy_of
from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.models import load_policy, save_policy, vocabulary_of
from alignloop.data.record_files import write
from alignloop.evaluation.other_tokenizer import same_tokens
from alignloop.files import replacing, write_json
from alignloop.params.adopted import Adopted
from alignloop.progress import Progress
from alignloop.training.curves import write_curve


def adopted(
    plan: Adopted,
    round: str,
    start: Path,
    reward: Path,
    sft: Path,
    prompts: Path,
    corpus: Path,
    out: Path,
    rollouts: Path,
    metrics: Path,
    plots: Path,
) -> Iterator[Progress]:
    """Take the checkpoint at `start`, an adapter merged into its base, as the round's policy.

    It needs SFT's tokens: the reward model reads them, and KL to SFT is of them. There are no rollouts.
    """
    model, tokenizer, base = policy_of(start, plan.base)
    reference, known = load_policy(sft)
    if not same_tokens(tokenizer, known) or vocabulary_of(model) != vocabulary_of(reference):
        raise CheckpointError(
            f"{start}: its tokenizer, chat template or vocabulary is not that of {sft}, whose tokens rounds "
            f"and reward models need; take a checkpoint that was trained from {sft}, or judge this one apart "
            f"from rounds: `python -m alignloop adopt {start} --name {round}`"
        )
    with replacing(out) as part:
        save_policy(model, tokenizer, part)
    write(rollouts / "rollouts.jsonl", [])
    write_json(metrics, {"weights": model.num_parameters(), "adapter": int(base is not None)})
    write_curve(plots, [])
    merged = f", an adapter merged into {base}" if base else ""
    yield Progress(1, 1, note=f"{start} is the policy{merged}; it was trained elsewhere")
