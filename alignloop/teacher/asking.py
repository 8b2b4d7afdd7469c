"""Asks the teacher within the budget, and reads the reply: an answer, a refusal, half a text, nothing."""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from alignloop.data.pii.redaction import redact
from alignloop.inference.chat_endpoint import ChatEndpoint, EndpointWords, InvalidReply, Watch
from alignloop.inference.exchange import printable
from alignloop.seeds import seed_of
from alignloop.teacher.journal import Journal, Tokens
from alignloop.teacher.plan import KEY_VARIABLE, DistillError, Plan, RejectedError

Outcome = Literal["answered", "refused", "truncated", "empty", "page", "rejected"]
CUT = {"length", "max_tokens", "model_length"}  # a `finish_reason` of a reply that is not whole
PAGE = re.compile(r"\s*<(!doctype html|html)\b", re.IGNORECASE)
REMEDIES: dict[str, str] = {
    "refused": "correct the prompts, teacher.system or `refusals`, or take another teacher",
    "truncated": "raise teacher.max_reply_tokens: what was cut is asked for again",
    "rejected": "the server finds the request invalid",
    "page": "a gateway's page of an error is no answer; `--again` asks for them again",
    "empty": "a reasoning model may need a larger teacher.max_reply_tokens; `--again` asks for them again",
}
OVERHEAD = 16  # tokens at most that a chat template adds to a message
WORDS = EndpointWords(
    "teacher.url and teacher.name in the plan",
    KEY_VARIABLE,
    "the replies so far are in the journal, and none is paid for twice",
    DistillError,
    RejectedError,
)


class BudgetReached(Exception):
    """A request was not sent: it would exceed the budget."""


class Answer(NamedTuple):
    """A reply: its text without personal data, and who the server says wrote it.

    The text of a request that was rejected is the message.
    """

    outcome: Outcome
    text: str
    model: str | None = None
    fingerprint: str | None = None
    prompt_sha256: str = ""
    redacted: int = 0


def bound_of(messages: Sequence[Mapping[str, str]], max_reply_tokens: int) -> Tokens:
    """An upper bound of what a request takes: a token has at least one byte."""
    prompt = sum(len(message["content"].encode()) + OVERHEAD for message in messages)
    return Tokens(prompt, max_reply_tokens)


class Asking:
    """Asks a plan's teacher; replies that the journal has are not asked for again.

    With `again`, replies that were refused or empty are asked for again, once in this run.
    """

    def __init__(self, plan: Plan, endpoint: ChatEndpoint, journal: Journal, again: bool = False) -> None:
        self._plan, self._endpoint = plan, endpoint
        self._journal, self._again = journal, again
        self._refusals = [re.compile(pattern, re.IGNORECASE) for pattern in plan.refusals]
        self.cached, self._lock = 0, threading.Lock()

    def ask(self, messages: Sequence[Mapping[str, str]], user: str | list[str], use: str) -> Answer:
        """The teacher's reply to messages, which are of a user or several. `use` tells uses of them apart.

        Raises BudgetReached, and DistillError where the teacher cannot go on.
        """
        teacher = self._plan.teacher
        if teacher.system and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": teacher.system}, *messages]
        body = {
            "model": teacher.name,
            "messages": messages,
            "temperature": teacher.temperature,
            "seed": seed_of(self._plan.seed, "distill", use) % 2**31,
        }
        settings = {key: value for key, value in teacher.settings.items() if value is not None}
        request = json.dumps([self._endpoint.url, body, settings], sort_keys=True)
        key = sha256(request.encode()).hexdigest()[:32]
        prompt_sha256 = sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
        known = self._journal.reply(key)
        if known and not self._is_stale(known):
            with self._lock:
                self.cached += 1
            return self._answer(known, prompt_sha256)
        limits = {} if "max_tokens" in teacher.settings else {"max_tokens": teacher.max_reply_tokens}
        watch = _Account(self._plan, self._journal, key, bound_of(messages, teacher.max_reply_tokens))
        reply = self._endpoint.ask(
            lambda attempt: {**body, **limits, **settings, "seed": body["seed"] + attempt},
            lambda completion: self._read(completion, watch, user),
            "gave no text",
            watch,
        )
        return self._answer(reply, prompt_sha256)

    def _is_stale(self, reply: Mapping[str, Any]) -> bool:
        outcome = self._outcome(reply)
        if outcome == "truncated":
            return reply["limit"] < self._plan.teacher.max_reply_tokens
        return self._again and outcome in ("refused", "empty", "page")

    def _read(
        self, completion: Mapping[str, Any], watch: "_Account", user: str | list[str]
    ) -> Mapping[str, Any]:
        """What the journal keeps of a completion. Raises InvalidReply, and DistillError for another model."""
        choice = completion["choices"][0]
        usage = _usage(completion) or watch.bound
        change = usage.minus(watch.bound)
        try:
            text = _text_of(choice["message"])
        except InvalidReply:
            self._journal.spent(watch.key, change)
            raise
        model = _name(completion.get("model"))
        name = self._plan.teacher.name
        before = self._journal.models.get(name)
        if model and before and model != before:
            self._journal.spent(watch.key, change)
            raise DistillError(
                f"{self._endpoint.url}: the teacher {name} was the model {before} and is now {model}; name "
                f"the version that you want in teacher.name, or begin anew with another `out`. The replies "
                f"of {before} stay in {self._journal.path}; budget.max_requests: {self._journal.requests} "
                "writes them without asking for more"
            )
        finish = choice.get("finish_reason")
        text, redacted = _without_personal_data(text)
        reply = {
            "name": name,
            "model": model,
            "fingerprint": _name(completion.get("system_fingerprint")),
            "finish": finish,
            "limit": self._plan.teacher.max_reply_tokens,
            "refusal": bool(choice["message"].get("refusal")) or finish == "content_filter",
            "text": text,
            "redacted": redacted,
            "user": user,
        }
        self._journal.add(watch.key, change, reply)
        return reply

    def _outcome(self, reply: Mapping[str, Any]) -> Outcome:
        text = reply["text"].strip()
        if reply["refusal"] or any(pattern.search(text) for pattern in self._refusals):
            return "refused"
        if str(reply["finish"]).lower() in CUT:
            return "truncated"
        if PAGE.match(text):
            return "page"
        return "answered" if text else "empty"

    def _answer(self, reply: Mapping[str, Any], prompt_sha256: str) -> Answer:
        text, redacted = _without_personal_data(reply["text"])  # a line of an older run has some
        return Answer(
            self._outcome(reply),
            text,
            model=reply["model"],
            fingerprint=reply["fingerprint"],
            prompt_sha256=prompt_sha256,
            redacted=reply.get("redacted", redacted),
        )


class _Account(Watch):
    """Notes each request in the journal before it is sent, and refuses those beyond the budget."""

    def __init__(self, plan: Plan, journal: Journal, key: str, bound: Tokens) -> None:
        self._budget, self._journal = plan.budget, journal
        self.key, self.bound = key, bound

    def sent(self) -> None:
        self._journal.sent(self.key, self.bound, self._check)

    def declined(self) -> None:
        self._journal.declined(self.key, self.bound)

    def _check(self, requests: int, tokens: Tokens) -> None:
        budget = self._budget
        if requests >= budget.max_requests or tokens.plus(self.bound).total > budget.max_tokens:
            raise BudgetReached


def _without_personal_data(text: str) -> tuple[str, int]:
    """A reply as it is kept, and how much was redacted in it."""
    # half a surrogate pair, which JSON can hold, is no text that can be written
    found, counts = redact(text.encode(errors="replace").decode().replace("\0", "").strip())
    return found, counts.total()


def _name(stated: Any) -> str | None:
    """A name that the server states, as far as it is one."""
    return printable(stated)[:200] or None if isinstance(stated, str) else None


def _usage(completion: Mapping[str, Any]) -> Tokens | None:
    """The tokens that the server counted; None where it does not say."""
    usage = completion.get("usage")
    if not isinstance(usage, Mapping):
        return None
    prompt, reply = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(prompt, int) and isinstance(reply, int) and min(prompt, reply) >= 0:
        return Tokens(prompt, reply)
    return None


def _text_of(message: Mapping[str, Any]) -> str:
    """The text of a message: one text, or parts of which some are texts; none is an empty text."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(
            str(part.get("text") or "") for part in content if isinstance(part, Mapping) and "text" in part
        )
    if content is None:
        return ""
    if not isinstance(content, str):
        raise InvalidReply(f"message.content is {str(content)[:80]!r}, where a text was expected")
    return content
