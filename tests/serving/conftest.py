"""A tiny model, engines on it, and requests that wait for their responses."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.models import load_policy
from alignloop.serving.engine import Engine, EngineSettings
from alignloop.serving.generation import Generation, Piece
from alignloop.serving.local_engine import LocalEngine
from alignloop.serving.sampling import Sampling

Policy = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@pytest.fixture(scope="session")
def tiny(tiny_policy: Path) -> Policy:
    return load_policy(tiny_policy)


@pytest.fixture
def engine_of(tiny: Policy) -> Iterator[Callable[..., Engine]]:
    """Engines with given limits, which are closed at the end."""
    engines: list[Engine] = []

    def make(max_running: int = 8, max_waiting: int = 64, batch_tokens: int = 100_000) -> Engine:
        engines.append(LocalEngine(*tiny, EngineSettings(max_running, max_waiting, batch_tokens)))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


class Waiter:
    """Takes the pieces of a request; `result` waits for its end."""

    def __init__(self, choices: int = 1) -> None:
        self.pieces: list[Piece] = []
        self._open, self._ended = choices, threading.Event()

    def __call__(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self._open -= bool(piece.finish or piece.error)
        if not self._open:
            self._ended.set()

    def result(self, choice: int = 0) -> tuple[str, str | None]:
        """The text of a response and why it ended."""
        assert self._ended.wait(20)
        mine = [piece for piece in self.pieces if piece.choice == choice]
        return "".join(piece.text for piece in mine), mine[-1].finish


class Pacer:
    """A request whose sink holds its engine after each step until the test lets it make more."""

    def __init__(self, engine: Engine, tokens: int = 90) -> None:
        self._steps = threading.Semaphore(0)
        self.reached = threading.Event()
        prompt = engine.encode_text("Who")
        engine.submit(Generation(prompt, Sampling(0.0, 1.0, tokens, seed=3), self._sink))
        assert self.reached.wait(20)

    def _sink(self, piece: Piece) -> None:
        self.reached.set()
        if piece.error:
            return
        assert self._steps.acquire(timeout=20)

    def step(self, count: int = 1) -> None:
        """Let the engine make some steps."""
        self._steps.release(count)


def request(sampling: Sampling, sink: Callable[[Piece], None], engine: Engine, text: str, choices: int = 1):
    return Generation(engine.encode_dialogue([{"role": "user", "content": text}]), sampling, sink, choices)
