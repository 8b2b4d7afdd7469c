"""What `ppo.score` names: is it there, can it be read, does a response fit. No weights are loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alignloop.checks.findings import Finding, error
from alignloop.core.chat_template import TokenizerError
from alignloop.core.checkpoint_folder import check_classifier, check_folder, load_tokenizer, read_tokenizer
from alignloop.core.classifier import context_limit
from alignloop.core.models import HEAD
from alignloop.data import record_files
from alignloop.errors import AlignloopError
from alignloop.params import Params
from alignloop.records import Prompt
from alignloop.scoring.local_function import find_function
from alignloop.scoring.rule_part import find_rule
from alignloop.scoring.verifiable import Verifiable

NAME = "score"
PROMPTS = Path("data", "prompts", "train.jsonl")


def check_score(params: Params, root: Path) -> list[Finding]:
    """The faults of every part; a server is not asked."""
    score = params.ppo.score
    if score == "reward":
        return []
    found = [finding for name, part in score.items() for finding in _faults(params, name, part, root)]
    return found or [Finding(NAME, "ok", f"ppo.score is a sum of {', '.join(score)}")]


def _faults(params: Params, name: str, part: Any, root: Path) -> Iterator[Finding]:
    try:
        if part.kind == "function":
            find_function(name, part.function, root)
        elif part.kind == "rule":
            find_rule(name, part.rule, part.version)
        elif part.kind == "checkpoint":
            _check_checkpoint(params, name, part.path)
        elif part.kind in ("final_number", "instructions") and (root / PROMPTS).exists():
            Verifiable(name, part.kind, record_files.read(root / PROMPTS, Prompt, allow_empty=True))
    except AlignloopError as fault:
        said = str(fault)
        yield error(NAME, said if said.startswith("ppo.score") else f"ppo.score.{name}: {said}")


def _check_checkpoint(params: Params, name: str, path: str) -> None:
    check_folder(path)
    if not Path(path).exists():  # on the hub: it is fetched when PPO loads it
        return
    if (Path(path) / HEAD).is_file():
        tokenizer = load_tokenizer(path)
    else:
        check_classifier(path)
        tokenizer = read_tokenizer(path)
    if tokenizer.chat_template is None:
        raise TokenizerError(
            f"{path}: the tokenizer has no chat template; give its folder a chat_template.jinja"
        )
    context, response = context_limit(path, tokenizer), params.decoding.max_new_tokens
    if response >= context:
        raise TokenizerError(
            f"decoding.max_new_tokens: {response} leave no room for a prompt in the context of {context:,} "
            f"tokens of {path}; lower them, or take a checkpoint with a longer context"
        )
