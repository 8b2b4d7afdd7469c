"""What is asked of the chat page and the API of a policy that calls tools by heart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from alignloop.labeling import conversations
from alignloop.labeling.database import LabelingDatabase
from alignloop.labeling.serving_schema import ChatMessage
from alignloop.rules.rule import Rule
from alignloop.rules.rule_set import RuleSet
from tests.web.chat_server import ChatServer, served_chat
from tests.web.tool_policy import NAME, InMemory, plan

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOWN = "In 1820 [1]. So it is [?]."


def ask(browser: Any, text: str, system: str = "", **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """The id of a new conversation, and the events that the page is sent."""
    body = {"content": text, "settings": {"model": NAME, "temperature": 0, "system": system} | more}
    reply = browser.post("/chat/prompts", json=body)
    return reply.headers["X-Conversation"], [
        json.loads(line[6:]) for line in reply.text.split("\n\n") if line
    ]


def stored(server: ChatServer, owner: str, id: str) -> ChatMessage:
    with server.database.reading() as session:
        return conversations.branch(session, conversations.find(session, owner, id))[-1].message


def chat(client: Any, asked: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": asked}]
    return client.chat.completions.create(model=NAME, messages=messages, temperature=0, **more)


@contextmanager
def served_alone(source: InMemory) -> Iterator[ChatServer]:
    """The server on a database of its own."""
    database = LabelingDatabase(f"sqlite:///{source.root}/labeling.db")
    with served_chat(source.root, database, source=source, tools=plan()) as server:
        yield server
    database.close()


def blocking(word: str) -> RuleSet:
    """A rule that lets no response with a word through."""
    stated = {"keywords": [word], "checks": "response", "action": "block", "message": "Not this."}
    return RuleSet({word: Rule.model_validate(stated)})


def certain(page: "Page") -> None:
    """Let a new conversation take the most probable tokens."""
    page.wait_for_load_state()
    page.click("#settings-button")
    page.fill("[name=temperature]", "0")
    page.click("#settings .go")
