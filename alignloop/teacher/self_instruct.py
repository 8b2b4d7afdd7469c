"""New instructions from seed tasks (Wang et al., Self-Instruct, arXiv 2212.10560, §2.2), filtered.

Each request shows tasks drawn from the seeds and from those made so far. A new task is kept if its ROUGE-L
with every other is at most the plan's bound, and if its length, language and words fit.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from alignloop.data.content_ids import content_id
from alignloop.data.language import languages_of
from alignloop.data.preparation.word_hashes import words
from alignloop.seeds import draws
from alignloop.teacher.items import Item
from alignloop.teacher.journal import texts_of
from alignloop.teacher.plan import Plan, SelfInstruct
from alignloop.teacher.similarity import Instructions
from alignloop.teacher.ways import Ask

SHOWN_SEEDS, SHOWN_NEW = 6, 2  # tasks in a request, as in the paper
PATIENCE = 10  # requests in a row without a new task, after which no more are made
NUMBERED = re.compile(r"^\s*(?:Task\s+)?\d+\s*[.):]\s*", re.MULTILINE | re.IGNORECASE)


class NewTasks:
    """Asks for tasks until there are enough; `filtered` counts those that were not kept, by reason."""

    def __init__(self, plan: Plan, seeds: Sequence[Item], ask: Ask) -> None:
        self._plan, self._ask = plan, ask
        self._seeds = [_instruction(seed) for seed in seeds]
        self._users = {text: {seed.user} for text, seed in zip(self._seeds, seeds, strict=True)}
        self._known = Instructions(self._seeds, plan.self_instruct.max_similarity)
        self.made: list[str] = []
        self.filtered = Counter[str]()
        self.ran_dry = False

    def each(self) -> Iterator[str]:
        """The new tasks, as they are made. May raise what `ask` raises; what was made is in `made`."""
        wish = self._plan.self_instruct
        idle, request = 0, 0
        while len(self.made) < wish.instructions:
            if idle == PATIENCE:
                self.ran_dry = True
                return
            kept = len(self.made)
            tasks, users = self._tasks(request)
            for task in tasks:
                if reason := self._fault(task):
                    self.filtered[reason] += 1
                elif len(self.made) < wish.instructions:
                    self.made.append(task)
                    self._users[task] = users  # it may have their words
                    yield task
            idle = 0 if len(self.made) > kept else idle + 1
            request += 1

    def _tasks(self, request: int) -> tuple[list[str], set[str]]:
        """What the teacher makes of one request, and whose tasks it was shown, or made of whose."""
        random = draws(self._plan.seed, "distill", "tasks", str(request))
        new = [self.made[place] for place in random.permutation(len(self.made))[:SHOWN_NEW]]
        left = SHOWN_SEEDS + SHOWN_NEW - len(new)
        shown = [self._seeds[place] for place in random.permutation(len(self._seeds))[:left]] + new
        examples = "\n".join(f"{number}. {text}" for number, text in enumerate(shown, 1))
        count = self._plan.self_instruct.per_request
        content = (
            f"Here are tasks that people give to an assistant:\n\n{examples}\n\nWrite {count} new tasks of "
            "different kinds, about different things. Each is complete in itself: it holds all that is "
            "needed to do it. Write them as a numbered list and nothing else."
        )
        users = set[str]().union(*(self._users[text] for text in shown))
        reply = self._ask([{"role": "user", "content": content}], sorted(users), f"tasks {request}")
        if reply.outcome in ("refused", "empty", "page"):
            self.filtered[f"request {reply.outcome}"] += 1
            return [], users
        tasks = _numbered(reply.text)
        if not tasks:
            self.filtered["request without a numbered list"] += 1
        # the last one of a reply that was cut is half a task
        return [task for task in (tasks[:-1] if reply.outcome == "truncated" else tasks) if task], users

    def _fault(self, task: str) -> str:
        """Why a task is not kept; empty: it is, and later ones are compared with it."""
        if fault := _unfit(task, self._plan.self_instruct):
            return fault
        return "" if self._known.add(task) else "similar to another"


def user_of(task: str) -> str:
    """A new task is a user of its own."""
    return content_id("self-instruct", task)


def users_made_of(root: Path, users: Collection[str]) -> set[str]:
    """The users that new tasks are, which were made from seed tasks of these users: the journals know."""
    return {user_of(task) for text in texts_of(root, users) for task in _numbered(text)}


def _numbered(text: str) -> list[str]:
    return [" ".join(part.split()) for part in NUMBERED.split(text)[1:]]


def _unfit(task: str, wish: SelfInstruct) -> str:
    used = words(task)
    if not wish.words[0] <= len(used) <= wish.words[1]:
        return "too short or too long"
    text = f" {' '.join(used)} "
    if any(f" {' '.join(words(blocked))} " in text for blocked in wish.blocklist):
        return "on the blocklist"
    if wish.language and languages_of([task])[0] not in (wish.language, "und"):
        return "in another language"
    return ""


def _instruction(seed: Item) -> str:
    """The user's turns of a seed task in one line."""
    return " ".join(" ".join(text for role, text in seed.turns if role == "user").split())
