"""The tools of a run: reads calls in drawn turns, asks the tools, and writes their answers as tokens."""

from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from os import cpu_count
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from alignloop.core import parallel_passes
from alignloop.core.chat_template import Messages
from alignloop.core.experience import Score
from alignloop.core.sampler import Sampler
from alignloop.core.tokens import decode, encode_prompt
from alignloop.core.tool_rollouts import Answer, ToolSampler
from alignloop.params.tools import Tools
from alignloop.retrieval.citations import ERROR, SEARCH, retrieved, search_answers
from alignloop.tool_turns import RolloutTurn, Turns
from alignloop.tools import calculator, search
from alignloop.tools.answer_form import AnswerForm, Turn
from alignloop.tools.call_form import BrokenCall, Call, CallForm, call_form
from alignloop.tools.definition import Definition
from alignloop.tools.offer import is_off, offered
from alignloop.tools.processes import Outcome, ToolProcesses
from alignloop.tools.schemas import ToolError, fault, validator
from alignloop.training.user_code import TOOLS, is_watched

CHARACTERS_PER_TOKEN = 16  # more of a result are not even read: they would be cut
OUTCOMES = ("answered", "cut", "broken", "unknown", "failed", "timed_out", "flooded")
MOST_AT_ONCE = 8  # calls
ONE_CALL = "(one call at a time: the others of this turn were not made)"
SHIPPED = (calculator, search)  # imported here, so that DVC watches them
OURS = Path(calculator.__file__).parent


class Toolbox:
    """Tools by their names, for one tokenizer. It is a `core.tool_rollouts.Tools`."""

    outcomes = OUTCOMES

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, tools: Sequence[ToolProcesses], plan: Tools
    ) -> None:
        self._tokenizer, self.max_calls = tokenizer, plan.max_calls
        self._tools: dict[str, ToolProcesses] = {}
        for each in tools:
            name = each.definition.name
            if other := self._tools.get(name):
                raise ToolError(
                    f"tools.functions: {other.function} and {each.function} are both called {name}; "
                    "leave one out, or rename it"
                )
            self._tools[name] = each
        self._validators = {
            each.definition.name: validator(each.function, each.definition.parameters) for each in tools
        }
        self.form: CallForm = call_form(tokenizer)
        self.answers = AnswerForm(tokenizer, plan.answer_tokens)
        self._plain: dict[tuple[int, ...], list[int]] = {}  # a prompt with the tools -> the prompt
        self._offered = set[tuple[int, ...]]()  # the prompts that tell of the tools
        self._names: dict[tuple[int, ...], str] = {}  # a prompt -> its record's id
        self._faults: dict[str, str] = {}  # outcome -> the first call that ended so, in words
        self._told = set[str]()
        if SEARCH in self._tools and (longest := self._tools[SEARCH].longest):
            self._check_room(longest, plan.answer_tokens)

    def _check_room(self, longest: str, most: int) -> None:
        """Take note where an answer cannot hold the passages asked for. Raises ToolError for none."""
        ids, cut = self.answers.ids(longest, True)
        if not cut:
            return
        whole, fitting = retrieved([longest]), retrieved([self.answers.words(Turn(ids, False))])
        need = f"{len(whole)} passages take up to {self.answers.size(longest):,} tokens"
        remedy = "raise tools.answer_tokens, or lower the search's passages"
        if not fitting:
            raise ToolError(f"tools.answer_tokens: {most} have no room for one passage ({need}); {remedy}")
        count = sum(whole[number] == passage for number, passage in fitting.items())
        self._faults["room"] = f"an answer may hold {count} whole passages of a search, as {need}; {remedy}"

    @property
    def definitions(self) -> list[Definition]:
        return [each.definition for each in self._tools.values()]

    def sampler(self, sampler: Sampler) -> Sampler:
        """The sampler, whose responses may call the tools."""
        return ToolSampler(sampler, self, self.max_calls)

    def encode_prompt(self, tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
        """A prompt's tokens with the tools in it; in the place of `core.tokens.encode_prompt`."""
        ids = offered(tokenizer, messages, self.definitions, self.form)
        self._plain[tuple(ids)] = encode_prompt(tokenizer, messages)
        if not is_off(messages):
            self._offered.add(tuple(ids))
        return ids

    def is_call(self, turn: Sequence[int]) -> bool:
        return self.form.is_call(self._text(turn))

    def offered(self, prompt: Sequence[int]) -> bool:
        """Whether these tokens are a prompt that `encode_prompt` has written the tools into."""
        return tuple(prompt) in self._offered

    def not_offered(self) -> None:
        self._faults.setdefault("not offered", "a call to a prompt without tools was not answered")

    def name(self, prompt: Sequence[int], id: str) -> None:
        """Call a prompt by its record's id in messages."""
        self._names[tuple(prompt)] = id

    def answer(self, turns: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]] = ()) -> list[Answer]:
        """An answer to each call; of several processes the first asks the tools.

        `prompts` are those of the responses. Raises ToolError where a tool can answer no call any more.
        """
        found: list[Any] = []  # plain values are shared among processes, objects of ours are not
        if parallel_passes.is_writer():
            found = [(answer.ids, answer.outcome) for answer in self._answer(turns, prompts)]
        return [Answer(ids, outcome) for ids, outcome in parallel_passes.agreed(found)]

    def turns_of(self, ids: Sequence[int]) -> Turns:
        """The turns of a response: calls and answers, and what it says in the end."""
        found: list[RolloutTurn] = []
        for turn in self.answers.turns(ids):
            if turn.own:
                found.append(RolloutTurn(by="policy", text=self._text(turn.ids), tokens=len(turn.ids)))
            else:
                words, asked = self.answers.words(turn), self._asked(found[-1].text)
                found.append(RolloutTurn(by="tool", text=words, tokens=len(turn.ids), tool=asked))
        return tuple(found)

    def _asked(self, call: str) -> str | None:
        """The name of the tool that a call asks."""
        try:
            name = self.form.read(call).name
        except BrokenCall:
            return None
        return name if name in self._tools else None

    def search_answers(self, ids: Sequence[int]) -> list[str]:
        """What the search has answered in a response."""
        return search_answers(self.turns_of(ids))

    def last_turns(
        self, prompts: Sequence[list[int]], responses: Sequence[list[int]]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """What scores read: the prompts without the tools in them, and what the responses say in the end."""
        plain = [self._plain.get(tuple(prompt), prompt) for prompt in prompts]
        return plain, [self.answers.last_turn(ids) for ids in responses]

    def reading(self, score: Score) -> Score:
        """The score of what responses say in the end."""
        return lambda prompts, responses: score(*self.last_turns(prompts, responses))

    def new_faults(self) -> list[str]:
        """A sentence for each way in which a call has failed for the first time since the last look."""
        new = [f"tools: {kind}: {words}" for kind, words in self._faults.items() if kind not in self._told]
        self._told = set(self._faults)
        return new

    def _answer(self, turns: Sequence[Sequence[int]], prompts: Sequence[Sequence[int]]) -> list[Answer]:
        def asked(place: int) -> Outcome:
            try:
                return self._outcome(self._text(turns[place]))
            except ToolError as error:
                prompt = self._names.get(tuple(prompts[place])) if prompts else None
                where = f"prompt {prompt}: " if prompt else ""
                raise ToolError(f"tools: {where}{error}") from None

        with ThreadPoolExecutor(min(MOST_AT_ONCE, cpu_count() or 1)) as threads:
            outcomes = list(threads.map(asked, range(len(turns))))
        answers: list[Answer] = []
        for outcome in outcomes:
            wrong = outcome.kind != "answered"
            text = f"{ERROR}{outcome.text}" if wrong else outcome.text
            ids, cut = self.answers.ids(text, outcome.passages and not wrong)
            kind = "cut" if not wrong and (cut or outcome.cut) else outcome.kind
            if kind != "answered":
                self._faults.setdefault(
                    kind, outcome.text[:200] if wrong else "a result was longer than an answer may be"
                )
            answers.append(Answer(ids, kind))
        return answers

    def _outcome(self, text: str) -> Outcome:
        try:
            call = self.form.read(text)
        except BrokenCall as error:
            return Outcome("broken", str(error))
        if call.name not in self._tools:
            return Outcome(
                "unknown", f"there is no tool {call.name[:40]!r}; there are {', '.join(self._tools)}"
            )
        if wrong := self._fault(call):
            return Outcome("broken", wrong)
        outcome = replace(self._tools[call.name].call(call.arguments), passages=call.name == SEARCH)
        return replace(outcome, text=f"{outcome.text}\n\n{ONE_CALL}") if call.more else outcome

    def _fault(self, call: Call) -> str:
        """What is wrong with the arguments by the tool's schema."""
        wrong = fault(self._validators[call.name], call.arguments)
        return f"{call.name}: {wrong}" if wrong else ""

    def _text(self, turn: Sequence[int]) -> str:
        return decode(self._tokenizer, turn)


@contextmanager
def open_tools(
    plan: Tools,
    tokenizer: PreTrainedTokenizerBase,
    root: Path | None = None,
    unready: Container[str] = (),
) -> Iterator[Toolbox | None]:
    """The tools of `plan`, None without any; their processes end with the block.

    Each looks at its settings first; those of the functions `unready` by their schema alone. Raises ToolError
    for all tools that cannot be used.
    """
    if not plan.functions:
        yield None
        return
    made: list[ToolProcesses] = []
    faults: list[str] = []
    root = root or Path.cwd()
    try:
        for each in plan.functions:
            try:
                tool = ToolProcesses(
                    each.function,
                    root,
                    timeout_s=plan.timeout_s,
                    characters=CHARACTERS_PER_TOKEN * plan.answer_tokens,
                    network=each.network,
                    settings=each.settings,
                )
                made.append(tool)
                if not is_watched(tool.file, root / TOOLS, OURS):
                    raise ToolError(
                        f"tools: {tool.file} is not watched by DVC: no stage would run again when "
                        f"it changes; move it into {TOOLS}/ and name it {TOOLS}.NAME:FUNCTION"
                    )
                tool.check(is_ready=each.function not in unready)
            except ToolError as error:
                faults.append(str(error))
        if faults:
            raise ToolError("\n".join(faults))
        yield Toolbox(tokenizer, made, plan)
    finally:
        for tool in made:
            tool.close()
