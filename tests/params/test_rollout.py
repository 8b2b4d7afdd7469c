"""What `rollout` may hold: addresses without secrets, commands, and limits that are limits."""

from typing import Any

import pytest

from alignloop.params import ParamsError
from tests.stages.loop import tiny


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": "sglang"}, "rollout.engine"),
        ({"url": "127.0.0.1:8000"}, "rollout.url: must be the address of a server"),
        ({"url": "ftp://host"}, "rollout.url: must be the address of a server"),
        ({"url": "http://me:secret@host:8000"}, "rollout.url: must not hold a password"),
        ({"url": "http://host:8000?key=x"}, "rollout.url: must end with its host, port or path"),
        ({"url": "http://host:80000"}, "rollout.url: must be the address of a server"),
        ({"command": "vllm 'serve"}, "rollout.command: must be a command line (No closing quotation)"),
        ({"command": "  "}, "rollout.command: must be a command line; null"),
        ({"max_gap": 1.0}, "rollout.max_gap"),
        ({"truncate": 0.5}, "rollout.truncate"),
        ({"max_concurrency": 0}, "rollout.max_concurrency"),
        ({"timeout_s": 0.0}, "rollout.timeout_s"),
        ({"dtype": "float32"}, "rollout.dtype: unknown key"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_key(changes: dict[str, Any], said: str):
    with pytest.raises(ParamsError) as told:
        tiny(rollout=changes)
    assert said in str(told.value)
    assert "secret" not in str(told.value)


def test_an_address_may_end_with_a_slash():
    assert tiny(rollout={"url": "https://host:8000/path/"}).rollout.url == "https://host:8000/path"
