"""Another reward model as a part of the score: it reads texts by its own tokenizer and chat template."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from alignloop.core import devices
from alignloop.core.chat_template import TokenizerError
from alignloop.core.checkpoint_folder import load_tokenizer
from alignloop.core.classifier import Classifier
from alignloop.core.models import HEAD, context_of
from alignloop.core.reward_model import RewardModel
from alignloop.core.reward_scoring import score as score_rows
from alignloop.core.tokens import encode_prompt, encode_response, pad_of
from alignloop.errors import AlignloopError
from alignloop.records import Prompt
from alignloop.scoring.drawn import Drawn, checked, fault
from alignloop.training.encoding import chat

LONGER = "take one with a longer context, or leave long prompts out (validate.max_characters)"


class CheckpointScore:
    """A sequence classifier with one label, or a reward model of an earlier run. Raises ScoreError."""

    def __init__(self, part: str, path: str) -> None:
        self.part, self.path = part, path
        try:
            self._model = open_reward_model(path)
        except AlignloopError as error:
            said, _, remedy = str(error).rpartition("; ")
            raise fault(part, (), said or remedy, remedy if said else "take another checkpoint") from None

    def check(self, prompts: Sequence[Prompt], max_new_tokens: int) -> None:
        """Raise ScoreError for prompts that leave no room for `max_new_tokens` tokens of a response."""
        context = self._model.context
        lengths = {prompt.id: len(self._row(prompt, "")) for prompt in prompts}
        long = [name for name, length in lengths.items() if length + max_new_tokens > context]
        if long:
            most = max(lengths[name] for name in long)
            problem = (
                f"{most:,} tokens of {self.path} and {max_new_tokens:,} of a response "
                f"(decoding.max_new_tokens) exceed its context of {context:,}"
            )
            raise fault(self.part, long, problem, f"{LONGER}, or lower decoding.max_new_tokens")

    def __call__(self, drawn: Drawn) -> Tensor:
        rows = [self._row(prompt, text) for prompt, text in zip(drawn.prompts, drawn.texts, strict=True)]
        context = self._model.context
        if long := [place for place, row in enumerate(rows) if len(row) > context]:
            most = max(len(rows[place]) for place in long)
            problem = f"{most:,} tokens with the response exceed the context of {context:,} of {self.path}"
            raise fault(self.part, [drawn.names[place] for place in long], problem, LONGER)
        return checked(self._model.score(rows), self.part, drawn.names, f"restore {self.path}")

    def _row(self, prompt: Prompt, text: str) -> list[int]:
        try:
            return self._model.encode([*chat(prompt.messages), {"role": "assistant", "content": text}])
        except TokenizerError as error:
            raise fault(self.part, [prompt.id], f"{self.path}: {error}", "leave it out") from None


class OwnReward:
    """A reward model that this project saved, with the tokenizer beside it."""

    def __init__(self, path: str) -> None:
        self.tokenizer = load_tokenizer(path)
        self._model = devices.shard(RewardModel.load(Path(path)).frozen())
        self.context = context_of(self._model.trunk)

    def encode(self, messages: list[dict[str, str]]) -> list[int]:
        *asked, answer = messages
        return encode_prompt(self.tokenizer, asked) + encode_response(self.tokenizer, answer["content"])

    def score(self, rows: Sequence[list[int]]) -> Tensor:
        return score_rows(self._model, rows, pad_of(self.tokenizer))


def open_reward_model(path: str) -> OwnReward | Classifier:
    """The reward model in a folder: one of this project, or a sequence classifier with one label.

    Raises CheckpointError or TokenizerError.
    """
    return OwnReward(path) if (Path(path) / HEAD).is_file() else Classifier(path)
