"""What a distillation will take at most, and what it took: requests, tokens, money."""

from collections.abc import Sequence
from typing import NamedTuple

from alignloop.teacher.asking import bound_of
from alignloop.teacher.items import Item
from alignloop.teacher.journal import Tokens
from alignloop.teacher.plan import Plan, TokenPrice

MILLION = 1_000_000
FRAME = 600  # bytes at most around tasks, or around a conversation and a response


class Bound(NamedTuple):
    """The most that a run may take; `money` is None where no price is known."""

    requests: int
    tokens: int
    money: float | None


def money(tokens: Tokens, price: TokenPrice | None) -> float | None:
    """The cost of tokens at a price; None where it is not known."""
    return None if price is None else (tokens.prompt * price.prompt + tokens.reply * price.reply) / MILLION


def words_of(amount: float | None, price: TokenPrice | None) -> str:
    """An amount of money for a line."""
    return "price unknown" if amount is None or price is None else _shown(amount, price.currency)


def _shown(amount: float, currency: str) -> str:
    return f"{currency} {amount:,.2f}" if amount >= 1 else f"{currency} {amount:.4f}"


def most(plan: Plan, items: Sequence[Item], wishes: Sequence[str], requests: int, spent: Tokens) -> Bound:
    """The most that a run of the plan takes after what was spent: by its items, and by its budget.

    `wishes` are what is asked about a response.
    """
    teacher, budget = plan.teacher, plan.budget
    planned, tokens = 0, Tokens()
    longest = max(wishes, key=len, default="")
    for item in items:
        texts = [*(text for _, text in item.turns), *([teacher.system] if teacher.system else [])]
        texts += [item.response or "", longest + " " * FRAME] if longest else []
        one = bound_of([{"content": text} for text in texts], teacher.max_reply_tokens)
        steps = _steps(plan, item)
        planned += steps
        # what the teacher wrote in a step before is part of the prompt of the next
        earlier = 2 * teacher.max_reply_tokens if steps > 1 else 0
        tokens = tokens.plus(Tokens(steps * (one.prompt + earlier), steps * one.reply))
    if plan.way == "self-instruct":
        wish = plan.self_instruct
        planned = wish.instructions + -(-wish.instructions // wish.per_request)
        tokens = Tokens(
            planned * (tokens.prompt + FRAME + 2 * teacher.max_reply_tokens),
            planned * teacher.max_reply_tokens,
        )
    left = max(0, budget.max_tokens - spent.total)
    costs = money(tokens, budget.price)
    if costs is not None and budget.price is not None:
        costs = min(costs, left * max(budget.price.prompt, budget.price.reply) / MILLION)
    return Bound(min(planned, max(0, budget.max_requests - requests)), min(tokens.total, left), costs)


def _steps(plan: Plan, item: Item) -> int:
    """The requests for an item, if none has to be repeated."""
    if plan.way == "critique":
        return 2 * plan.revisions + (item.response is None)
    return 1
