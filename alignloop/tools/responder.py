"""How a stage draws responses and reads them: with the tools of `tools.functions`, or without any.

What a response says is its last turn; what was called and answered before it are its turns.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from alignloop.core.chat_template import Messages
from alignloop.core.experience import Score
from alignloop.core.sampler import Sampler
from alignloop.core.tokens import decode, encode_prompt
from alignloop.params.tools import Tools
from alignloop.records import Prompt
from alignloop.tool_turns import Turns
from alignloop.tools.toolbox import Toolbox, open_tools
from alignloop.training.encoding import prompt_rows

Ids = Sequence[list[int]]


class Responder:
    """Prompts, samplers, scores and texts of responses, for one tokenizer; `tools` is None without any."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, plan: Tools, tools: Toolbox | None) -> None:
        self._tokenizer, self._plan = tokenizer, plan
        self.tools = tools

    def room(self, context: int, max_new_tokens: int) -> int:
        """The tokens that a prompt may have in a model's context."""
        return context - self._plan.longest(max_new_tokens)

    def encode_prompt(self, tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
        """A prompt's tokens, with the tools in it; `tokenizer` is this one's own."""
        return (self.tools.encode_prompt if self.tools else encode_prompt)(tokenizer, messages)

    def prompt_rows(
        self, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt], room: int
    ) -> tuple[list[tuple[Prompt, list[int]]], int]:
        """Each prompt with its tokens, the tools in them, and how many exceed `room`."""
        rows, too_long = prompt_rows(tokenizer, prompts, room, self.encode_prompt)
        if self.tools:
            for prompt, ids in rows:
                self.tools.name(ids, prompt.id)
        return rows, too_long

    def sampler(self, sampler: Sampler) -> Sampler:
        """The sampler, whose responses may call the tools."""
        return self.tools.sampler(sampler) if self.tools else sampler

    def reading(self, score: Score) -> Score:
        """The score of what responses say in the end."""
        return self.tools.reading(score) if self.tools else score

    def last_turns(self, prompts: Ids, responses: Ids) -> tuple[Ids, Ids]:
        """The prompts without the tools in them, and what the responses say in the end."""
        return self.tools.last_turns(prompts, responses) if self.tools else (prompts, responses)

    def text(self, ids: Sequence[int]) -> str:
        """What a response says in the end."""
        return decode(self._tokenizer, self.tools.answers.last_turn(ids) if self.tools else ids)

    def turns(self, ids: Sequence[int]) -> Turns | None:
        """All turns of a response; None without tools."""
        return self.tools.turns_of(ids) if self.tools else None

    def new_faults(self) -> list[str]:
        """A sentence for each way in which a call has failed for the first time since the last look."""
        return self.tools.new_faults() if self.tools else []


@contextmanager
def open_responder(
    plan: Tools, tokenizer: PreTrainedTokenizerBase, root: Path | None = None
) -> Iterator[Responder]:
    """Responses by these parameters; the tools' processes end with the block. Raises ToolError."""
    with open_tools(plan, tokenizer, root) as tools:
        yield Responder(tokenizer, plan, tools)
