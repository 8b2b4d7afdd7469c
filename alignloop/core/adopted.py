"""A checkpoint that was trained elsewhere, as a policy: a whole model, or an adapter merged into its base."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core import adapter_folder
from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.core.family_check import check_family
from alignloop.core.model_shape import is_adapter
from alignloop.core.models import load_policy


def policy_of(
    checkpoint: str | Path, base: str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str | None]:
    """The policy, its tokenizer, and the base that an adapter was merged into.

    `base` is None for that of the adapter's own config. Raises CheckpointError or TokenizerError: also for a
    base that is named for a whole model.
    """
    source = Path(checkpoint)
    if is_adapter(source):
        base = base or adapter_folder.base_of(source)
        model, tokenizer = adapter_folder.merged(source, base)
    elif base is not None:
        raise CheckpointError(f"{checkpoint}: is no adapter, so the base {base} has no use; leave it out")
    else:
        model, tokenizer = load_policy(checkpoint)
    check_family(model, checkpoint)
    return model, tokenizer, base
