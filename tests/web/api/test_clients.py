"""LangChain against the API, unchanged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI, OpenAI

from alignloop.labeling.database import LabelingDatabase
from tests.web.chat_server import CHAMPION, ChatServer, served_chat


@pytest.fixture(scope="module")
def server(policies: Path, database: LabelingDatabase) -> Iterator[ChatServer]:
    with served_chat(policies, database) as server:
        yield server


def test_langchain_invokes_streams_batches_and_completes(server: ChatServer, key: str) -> None:
    settings: Any = {"base_url": f"{server.url}/v1", "api_key": key, "model": CHAMPION, "max_retries": 0}
    chat: Any = ChatOpenAI(**settings, temperature=1, max_completion_tokens=8, seed=1)
    asked = [("system", "Be brief."), ("user", "Is the sea full of salt?")]
    whole = chat.invoke(asked)
    assert whole.content
    assert whole.response_metadata["model_name"] == "alignloop-policy/1"
    assert whole.usage_metadata
    assert whole.usage_metadata["output_tokens"] <= 8
    assert "".join(str(chunk.content) for chunk in chat.stream(asked)) == whole.content
    batch = chat.batch([asked, [("user", "Who painted the door green?")]])
    assert batch[0].content == whole.content
    assert batch[1].usage_metadata["input_tokens"] < whole.usage_metadata["input_tokens"]
    with_logprobs = chat.bind(logprobs=True, top_logprobs=2).invoke(asked)
    assert len(with_logprobs.response_metadata["logprobs"]["content"][0]["top_logprobs"]) == 2
    text = OpenAI(**settings, temperature=0, max_tokens=8).invoke("Is the sea")
    assert isinstance(text, str)
    assert text
