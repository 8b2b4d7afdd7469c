"""A reward model or judge behind an address as a part of the score.

A request is a POST of JSON to the address: `{"items": [{"id": …, "messages": [{"role": …, "content": …}, …],
"response": …, "check": …}, …]}`, where `check` is left out for prompts without one. The reply is
`{"scores": [0.5, …]}`: one finite number per item, in their order.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from alignloop.core import parallel_passes
from alignloop.inference.http_client import HttpClient, SamplerError, Server
from alignloop.params.score import Scoring
from alignloop.scoring.drawn import Drawn, checked, fault
from alignloop.training.encoding import chat

KEY_VARIABLE = "ALIGNLOOP_SCORE_KEY"
REPLY = 'let it reply {"scores": [a number per item]}'


class Served:
    """The scores of the server at `url`. Of several processes the first asks. Raises ScoreError."""

    def __init__(self, part: str, url: str, limits: Scoring) -> None:
        self.part, self._size = part, limits.responses_per_request
        setting = f"ppo.score.{part}.url"
        self._client = HttpClient(
            url,
            timeout_s=limits.timeout_s,
            max_concurrency=limits.max_concurrency,
            server=Server(setting, KEY_VARIABLE, "a server of scores", "serve scores there (docs/how-to.md)"),
        )

    def close(self) -> None:
        self._client.close()

    def __call__(self, drawn: Drawn) -> Tensor:
        return parallel_passes.agreed(
            self._scores(drawn) if parallel_passes.is_writer() else cast(Tensor, None)
        )

    def _scores(self, drawn: Drawn) -> Tensor:
        places = range(len(drawn.texts))
        requests = [places[start : start + self._size] for start in places[:: self._size]]
        return torch.cat(self._client.each(lambda some: self._ask(drawn, some), requests))

    def _ask(self, drawn: Drawn, places: Sequence[int]) -> Tensor:
        names = [drawn.prompts[place].id for place in places]
        items = [_item(drawn, place) for place in places]
        try:
            reply = self._client.post("", {"items": items}, f"scoring {len(items)} responses")
        except SamplerError as error:
            said, _, remedy = str(error).rpartition("; ")
            raise fault(self.part, names, said, remedy) from None
        if not isinstance(reply, dict) or "scores" not in reply:
            raise fault(self.part, names, f"the reply has no scores: {str(reply)[:100]}", REPLY)
        return checked(reply["scores"], self.part, names, REPLY)


def _item(drawn: Drawn, place: int) -> dict[str, Any]:
    prompt = drawn.prompts[place]
    item: dict[str, Any] = {
        "id": prompt.id,
        "messages": chat(prompt.messages),
        "response": drawn.texts[place],
    }
    return item if prompt.check is None else {**item, "check": prompt.check}
