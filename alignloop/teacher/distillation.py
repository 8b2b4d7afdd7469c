"""One distillation: asks the teacher about all items at most so many at a time, and writes a source file.

The file appears whole or not at all; what was asked is in the journal. Where the budget ends, the file holds
what there is, and the same plan with a larger budget continues.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from alignloop.data import record_files
from alignloop.data.content_ids import content_id
from alignloop.data.forgotten import ForgottenUsers
from alignloop.inference.chat_endpoint import ChatEndpoint
from alignloop.progress import Progress
from alignloop.records import Demonstration, Message, Teacher
from alignloop.teacher import ways
from alignloop.teacher.asking import REMEDIES, WORDS, Answer, Asking, BudgetReached
from alignloop.teacher.costs import Bound, money, most, words_of
from alignloop.teacher.items import Item, Items, read_items
from alignloop.teacher.journal import Journal, Tokens, place_of
from alignloop.teacher.plan import DistillError, Plan, RejectedError, load_principles
from alignloop.teacher.self_instruct import NewTasks, user_of

SEEN = 20  # replies before the share of those that are left out can stop the run
FORGOTTEN = Path("data", "forgotten.txt")


class Summary(NamedTuple):
    """What a run did. `not_asked` are items beyond the budget; `in_all` is what all runs spent."""

    demonstrations: int
    left_out: str
    not_asked: int
    filtered: Counter[str]
    redacted: int
    versions: Counter[str]
    requests: int
    cached: int
    spent: Tokens
    in_all: tuple[int, Tokens]
    notes: list[str]


class Distillation:
    """A plan, its items, and its journal, which is locked until `close`."""

    def __init__(self, plan: Plan, root: Path = Path()) -> None:
        self.plan, self.out = plan, root / plan.out
        if self.out.suffix != ".jsonl":
            raise DistillError(f"{plan.out}: must end with .jsonl; correct `out` in the plan")
        _check_replaceable(self.out)
        is_critique, is_rewrite = plan.way == "critique", plan.way == "rewrites"
        self._principles = load_principles(root / plan.principles) if is_critique else []
        forgotten = ForgottenUsers(root / FORGOTTEN)
        self.items: Items = read_items(root / plan.prompts, forgotten, rankings=is_rewrite, limit=plan.limit)
        self.journal = Journal(place_of(root, plan.out))

    def close(self) -> None:
        self.journal.close()

    def most(self) -> Bound:
        """The most that a run takes."""
        wishes = [text for each in self._principles for text in (each.critique, each.revision)]
        wishes += [self.plan.rewrite] if self.plan.way == "rewrites" else []
        return most(self.plan, self.items.items, wishes, self.journal.requests, self.journal.tokens)

    def run(self, again: bool = False) -> Iterator[Progress | Summary]:
        """Ask and write; yields the progress, and at the end the summary. Raises DistillError."""
        requests, spent = self.journal.requests, self.journal.tokens
        plan, teacher = self.plan, self.plan.teacher
        filtered, notes = Counter[str](), list[str]()
        endpoint = ChatEndpoint(
            teacher.url, WORDS, at_once=teacher.max_concurrency, timeout_s=teacher.timeout_s
        )
        with endpoint, ThreadPoolExecutor(teacher.max_concurrency, "teacher") as pool:
            asking = Asking(plan, endpoint, self.journal, again)
            items = self.items.items
            if plan.way == "self-instruct":
                tasks = NewTasks(plan, items, asking.ask)
                yield from self._make_tasks(tasks)
                items, filtered = [_task_item(task) for task in tasks.made], tasks.filtered
                notes += _shortfall(tasks, plan.self_instruct.instructions)
            results = _Results(self)
            futures = [pool.submit(self._answer, item, asking) for item in items]
            try:
                yield from results.collect(items, futures)
            except BaseException:
                endpoint.give_up()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if not results.demonstrations:
            reason = "; ".join(notes) or self._nothing(results)
            raise DistillError(f"{plan.out}: {reason}; nothing was written")
        record_files.write(self.out, results.demonstrations)
        yield Summary(
            demonstrations=len(results.demonstrations),
            left_out=results.reasons(),
            not_asked=results.not_asked,
            filtered=filtered,
            redacted=self.items.redacted + results.redacted,
            versions=results.versions,
            requests=self.journal.requests - requests,
            cached=asking.cached,
            spent=self.journal.tokens.minus(spent),
            in_all=(self.journal.requests, self.journal.tokens),
            notes=notes,
        )

    def _make_tasks(self, tasks: NewTasks) -> Iterator[Progress]:
        total = self.plan.self_instruct.instructions
        try:
            for _ in tasks.each():
                yield Progress(len(tasks.made), total, {"tasks": len(tasks.made)})
        except BudgetReached:
            pass  # the tasks so far may be answered by the journal; a note says how many are missing

    def _answer(self, item: Item, asking: Asking) -> Answer | None:
        """The teacher's demonstration for an item; None beyond the budget."""
        work: dict[str, Callable[..., Answer]] = {
            "answers": ways.answer,
            "self-instruct": ways.answer,
            "rewrites": ways.rewrite,
            "critique": partial(ways.critique, principles=self._principles),
        }
        try:
            return work[self.plan.way](self.plan, item, asking.ask)
        except BudgetReached:
            return None
        except RejectedError as error:
            return Answer("rejected", str(error))

    def _nothing(self, results: "_Results") -> str:
        budget = self.plan.budget
        if results.not_asked:
            return (
                f"budget.max_requests ({budget.max_requests:,}) and budget.max_tokens "
                f"({budget.max_tokens:,}) leave no request: {self.journal.requests:,} requests and "
                f"{self.journal.tokens.total:,} tokens are spent, and one takes up to "
                "teacher.max_reply_tokens and its prompt; raise them"
            )
        return f"the teacher gave no demonstration ({results.reasons()})"


class _Results:
    """The demonstrations in the items' order, and what was left out."""

    def __init__(self, distillation: Distillation) -> None:
        self._plan = distillation.plan
        self._journal = distillation.journal
        self.demonstrations: list[Demonstration] = []
        self.left_out, self.versions = Counter[str](), Counter[str]()
        self.not_asked = self.redacted = 0
        self.rejection = ""  # the first one

    def collect(self, items: Sequence[Item], futures: Sequence[Future[Answer | None]]) -> Iterator[Progress]:
        """Take the results as they come, in order. Raises DistillError where too many are left out."""
        for done, (item, future) in enumerate(zip(items, futures, strict=True), 1):
            answer = future.result()
            if answer is None:
                self.not_asked += 1
            elif answer.outcome != "answered":
                self.left_out[answer.outcome] += 1
                self.rejection = self.rejection or (answer.text if answer.outcome == "rejected" else "")
            else:
                self._add(item, answer)
            self._check_share()
            tokens = self._journal.tokens
            numbers: dict[str, float] = {
                "requests": self._journal.requests,
                "left out": self.left_out.total(),
                "tokens": tokens.total,
            }
            if (cost := money(tokens, self._plan.budget.price)) is not None:
                numbers["cost"] = round(cost, 4)
            yield Progress(done, len(items), numbers)

    def _add(self, item: Item, answer: Answer) -> None:
        teacher = self._plan.teacher
        turns = (*item.turns, ("assistant", answer.text))
        labeler = f"teacher-{re.sub(r'[^A-Za-z0-9.]+', '-', teacher.name)}"[:200]
        self.redacted += answer.redacted
        self.versions[" ".join(filter(None, (answer.model, answer.fingerprint))) or "none stated"] += 1
        self.demonstrations.append(
            Demonstration(
                id=content_id(
                    "teacher", teacher.name, self._plan.way, item.user, *(text for _, text in turns)
                ),
                messages=tuple(
                    Message.model_validate({"role": role, "content": text}) for role, text in turns
                ),
                user=item.user,
                labeler=labeler,
                category=item.category,
                time=item.time,
                source=item.source,
                teacher=Teacher(
                    name=teacher.name,
                    model=answer.model,
                    fingerprint=answer.fingerprint,
                    way=self._plan.way,
                    prompt_sha256=answer.prompt_sha256,
                    terms=teacher.terms,
                ),
            )
        )

    def reasons(self) -> str:
        """What was left out, each with its remedy."""
        remedies = REMEDIES | ({"rejected": self.rejection} if self.rejection else {})
        return "; ".join(f"{count:,} {reason}: {remedies[reason]}" for reason, count in self.left_out.items())

    def _check_share(self) -> None:
        seen, left_out = len(self.demonstrations) + self.left_out.total(), self.left_out.total()
        if seen >= SEEN and left_out > self._plan.max_left_out * seen:
            raise DistillError(
                f"{self._plan.teacher.url}: {left_out:,} of {seen:,} replies are left out, more than "
                f"max_left_out ({self._plan.max_left_out:g}): {self.reasons()}. Nothing was "
                "written; the replies so far are in the journal"
            )


def _shortfall(tasks: NewTasks, wanted: int) -> list[str]:
    """Why there are fewer new tasks than wanted."""
    if len(tasks.made) == wanted:
        return []
    made = f"only {len(tasks.made):,} of {wanted:,} tasks were made"
    if not tasks.ran_dry:
        return [f"{made} within the budget; raise budget.max_requests or budget.max_tokens and run again"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in tasks.filtered.most_common())
    return [
        f"{made}, and then none in several requests ({reasons}); add seed tasks, or raise "
        "self_instruct.max_similarity or teacher.temperature"
    ]


def _task_item(task: str) -> Item:
    return Item((("user", task),), None, user_of(task), "self-instruct", time="", source="self-instruct")


def _check_replaceable(out: Path) -> None:
    """Raise DistillError where `out` is something that no teacher wrote."""
    if not out.exists():
        return
    try:
        with out.open(encoding="utf-8") as file:
            made = bool(json.loads(file.readline()).get("teacher"))
    except (OSError, ValueError, AttributeError):
        made = False
    if not made:
        raise DistillError(f"{out}: is another file, which no teacher wrote; move it away, or change `out`")


def summary_lines(plan: Plan, done: Summary) -> Iterator[str]:
    """What a run did, as lines of text."""
    price = plan.budget.price
    yield f"{done.demonstrations:,} demonstrations in {plan.out}, by {', '.join(done.versions)}"
    if done.left_out:
        yield f"left out: {done.left_out}"
    if done.filtered:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in done.filtered.most_common())
        yield f"tasks that were not kept: {reasons}"
    if done.redacted:
        yield f"{done.redacted:,} spans of personal data were redacted, in prompts before they were sent"
    if done.not_asked:
        yield (
            f"the budget is reached: {done.not_asked:,} were not asked; raise budget.max_requests or "
            "budget.max_tokens and run again: it continues"
        )
    yield from done.notes
    in_all, tokens = done.in_all
    yield (
        f"this run: {done.requests:,} requests, {done.cached:,} replies from the journal, "
        f"{_tokens(done.spent)}, {words_of(money(done.spent, price), price)}"
    )
    yield (
        f"all runs: {in_all:,} of {plan.budget.max_requests:,} requests, {_tokens(tokens)} of "
        f"{plan.budget.max_tokens:,}, {words_of(money(tokens, price), price)}"
    )


def _tokens(tokens: Tokens) -> str:
    return f"{tokens.total:,} tokens ({tokens.prompt:,} of prompts)"
