"""The engine in this process: the responses to all requests are generated together, on one thread."""

import logging
import threading
from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignloop.core.models import context_of, token_rules
from alignloop.errors import AlignloopError
from alignloop.serving.batch import Drawn, RunningBatch
from alignloop.serving.engine import Engine, EngineSettings, GenerationFailed, Response
from alignloop.serving.generation import Piece

PROMPT_TOKENS = 2048  # of new prompts in one step, padded: those that run must not wait long for them
log = logging.getLogger(__name__)


class LocalEngine(Engine):
    """A model in memory, its queue, and the thread that generates."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: EngineSettings
    ) -> None:
        super().__init__(tokenizer, context_of(model), settings)
        self._batch = RunningBatch(model.eval(), token_rules(tokenizer, model))
        self._thread = threading.Thread(target=self._work, name="generation", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        self._changed.notify_all()

    def _end(self) -> None:
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._drop_cancelled()
                while not (self._waiting or self._running):
                    if self._is_closing:
                        return
                    self._changed.wait()
                    self._drop_cancelled()
                new = self._admitted()
            try:
                pieces = self._pieces(self._step(new))
            except Exception as error:  # whatever a model raises: those who wait are told, others are served
                log.exception("generation failed")
                self._fail(error)
                continue
            self._send(pieces)

    def _drop_cancelled(self) -> None:
        """Forget the responses that nobody waits for; called with the lock."""
        self._without_cancelled()
        if any(each.generation.is_cancelled for each in self._running.values()):
            self._running = {
                key: each for key, each in self._running.items() if not each.generation.is_cancelled
            }
        if not self._running:
            self._batch.keep(())
        self._changed.notify_all()

    def _admitted(self) -> list[Response]:
        """Take from the queue what fits into the batch now; called with the lock."""
        new: list[Response] = []
        longest = max((each.row.longest for each in self._running.values()), default=0)
        prompts: set[tuple[int, ...]] = set()
        widest = 0
        while self._waiting and len(self._running) < self._settings.max_running:
            row = self._waiting[0].row
            longest, widest = max(longest, row.longest), max(widest, len(row.prompt))
            is_too_much = (len(self._running) + 1) * longest > self._settings.batch_tokens
            is_too_long = len(prompts | {row.prompt}) * widest > PROMPT_TOKENS
            if (is_too_much and self._running) or (is_too_long and new):
                break
            prompts.add(row.prompt)
            new.append(self._waiting.popleft())
            self._running[id(row)] = new[-1]
        return new

    def _step(self, new: Sequence[Response]) -> list[Drawn]:
        added = {id(each.row) for each in new}
        self._batch.keep([each.row for key, each in self._running.items() if key not in added])
        drawn = self._batch.step() if self._batch.rows else []
        return drawn + (self._batch.add([each.row for each in new]) if new else [])

    def _pieces(self, drawn: Sequence[Drawn]) -> list[tuple[Response, Piece]]:
        """What goes out after a step; finished responses leave the batch at the next one."""
        pieces, finished = [], []
        for each in drawn:
            response = self._running.get(id(each.row))
            if response is None:
                continue
            self.tokens_drawn += 1
            if piece := response.take(each):
                pieces.append((response, piece))
                if piece.finish:
                    finished.append(id(each.row))
        with self._changed:
            for key in finished:
                del self._running[key]
        return pieces

    def _fail(self, error: Exception) -> None:
        with self._changed:
            failed = list(self._running.values())
            self._running = {}
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        told = error if isinstance(error, AlignloopError) else GenerationFailed(f"the model failed: {cause}")
        self._send([(each, each.failure(told)) for each in failed])
