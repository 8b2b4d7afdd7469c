"""The models that are served: which name is which version now, and which of them are in memory.

The registry is read again every few seconds. When the alias of the standard model has moved, the new version
is loaded first; then requests go to it, and the old one ends those that it has.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from alignloop.errors import AlignloopError
from alignloop.serving.engine import Engine, EngineSettings, ServerUnavailable, ServingError
from alignloop.serving.registered_models import ModelSource
from alignloop.serving.served_tools import ServedTools
from alignloop.serving.served_version import ServedVersion

log = logging.getLogger(__name__)


class ModelNotFound(ServingError):
    """No model of this name is registered."""


class ModelsInUse(ServingError):
    """As many models as may be in memory are generating; the request can be sent again later."""


class CandidateRefused(ServingError):
    """The candidate may not be served; the message has the cause."""


@dataclass(eq=False)
class _Loaded:
    version: ServedVersion
    engine: Future[Engine]
    users: int = 0
    used: float = 0.0

    @property
    def is_broken(self) -> bool:
        """Whether its engine was there, and is gone."""
        return self.engine.done() and not self.engine.exception() and self.engine.result().is_broken


@dataclass(frozen=True)
class Lease:
    """An engine that stays in memory until `end` is called, once."""

    version: ServedVersion
    engine: Engine
    end: Callable[[], None]


class ModelPool:
    """Engines by version, at most `most_loaded` of them but for moments in which an alias moves."""

    def __init__(
        self,
        source: ModelSource,
        settings: EngineSettings,
        *,
        standard: str,
        most_loaded: int,
        refresh_seconds: float,
        candidate: str = "",
        tools: Callable[[PreTrainedTokenizerBase], ServedTools] | None = None,
    ) -> None:
        """`candidate` names a model that is kept in memory beside the standard one; "": none.

        `tools` makes what the responses of a model may call; None: nothing.
        """
        self.standard = standard
        self._candidate_name = candidate
        self._candidate: ServedVersion | None = None
        self._refused = ""  # the hash of a candidate that is not served
        self._source, self._settings = source, settings
        self._tools = tools
        self._most_loaded, self._refresh_seconds = most_loaded, refresh_seconds
        self._lock, self._refreshing = threading.Lock(), threading.Lock()
        self._versions: list[ServedVersion] = []
        self._loaded: dict[str, _Loaded] = {}  # by hash
        self._is_closed = threading.Event()
        self._watch = threading.Thread(target=self._follow, name="aliases", daemon=True)

    def start(self) -> None:
        """Read the registry, load the standard model if it is there, and follow the aliases from now on."""
        self.refresh()
        self._watch.start()

    def refresh(self) -> None:
        """Read the registry. A new version of the standard model is loaded before it is served."""
        with self._refreshing:
            versions = list(self._source.versions())
            standard = _find(versions, self.standard)
            if standard and not self._is_ready(standard):
                with self._held(standard, is_beyond_limit=True) as loaded:
                    loaded.engine.result()
            self._versions = versions
            self._candidate = self._ready_candidate(standard)

    def candidate(self) -> ServedVersion | None:
        """The candidate, if it has passed its gates, is not the standard model, and is in memory."""
        return self._candidate

    def versions(self) -> list[ServedVersion]:
        """The versions that can be asked for, the newest first."""
        return self._versions

    def find(self, name: str) -> ServedVersion:
        """The version of this name. Raises ModelNotFound."""
        version = _find(self._versions, name)
        if version is None:
            names = [each for version in self._versions for each in version.names]
            known = (
                f"there are {', '.join(names[:20])}" if names else "none is registered: `make run` makes one"
            )
            raise ModelNotFound(f"there is no model {name[:100]!r}; {known}")
        return version

    def lease(self, name: str) -> Lease:
        """The version of this name and its engine, which stays in memory until the lease is ended.

        Loads the weights where they are not in memory. Raises ModelNotFound or ModelsInUse, and what loading
        raises.
        """
        version = self.find(name)
        stack = ExitStack()
        loaded = stack.enter_context(self._held(version))
        with stack:
            return Lease(version, loaded.engine.result(), stack.pop_all().close)

    def load(self) -> tuple[int, int]:
        """How many responses run and how many wait, over all engines."""
        loads = [each.engine.result().load for each in list(self._loaded.values()) if each.engine.done()]
        return sum(running for running, _ in loads), sum(waiting for _, waiting in loads)

    def close(self, patience: float = 0.0) -> None:
        """End all engines; requests have `patience` seconds to end by themselves."""
        self._is_closed.set()
        deadline = time.monotonic() + patience
        for loaded in list(self._loaded.values()):
            if loaded.engine.done() and not loaded.engine.exception():
                loaded.engine.result().close(deadline - time.monotonic())
        if self._watch.is_alive():
            self._watch.join(max(deadline - time.monotonic(), 1))  # it may be starting a server, for minutes

    @contextmanager
    def _held(self, version: ServedVersion, is_beyond_limit: bool = False) -> Iterator[_Loaded]:
        is_new = False
        with self._lock:
            loaded = self._loaded.get(version.hash)
            broken = [self._loaded.pop(version.hash)] if loaded and loaded.is_broken else []
            if loaded is None or broken:
                unneeded = [*broken, *self._make_room(is_beyond_limit)]
                loaded = self._loaded[version.hash] = _Loaded(version, Future())
                is_new = True
            else:
                unneeded = []
            loaded.users += 1
        try:
            for each in unneeded:
                each.engine.result().close()
            if is_new:
                self._load(loaded)
            yield loaded
        finally:
            with self._lock:
                loaded.users -= 1
                loaded.used = time.monotonic()

    def _ready_candidate(self, standard: ServedVersion | None) -> ServedVersion | None:
        """The candidate once it is loaded. What is wrong with one is logged once; it is not served."""
        found = _find(self._versions, self._candidate_name)
        if found is None or standard is None or found.hash in (standard.hash, self._refused):
            return None
        try:
            if found.gates != "passed":
                raise CandidateRefused(f"its gates say {found.gates or 'nothing'}")
            with self._held(found) as loaded:
                loaded.engine.result()
        except (ModelsInUse, ServerUnavailable):
            return None  # until the next refresh
        except Exception as error:
            self._refused = found.hash
            log.error("%s is not served to a share of the conversations: %s", found.label, error)
            return None
        return found

    def _is_ready(self, version: ServedVersion) -> bool:
        loaded = self._loaded.get(version.hash)
        return loaded is not None and not loaded.is_broken

    def _make_room(self, is_beyond_limit: bool) -> list[_Loaded]:
        """Take idle engines out, the longest unused first; called with the lock."""
        kept = (_find(self._versions, self.standard), self._candidate)
        keep = set() if is_beyond_limit else {each.hash for each in kept if each}
        idle = [key for key, each in self._loaded.items() if not each.users and key not in keep]
        idle.sort(key=lambda key: self._loaded[key].used)
        surplus = len(self._loaded) + 1 - self._most_loaded
        if surplus > len(idle) and not is_beyond_limit:
            raise ModelsInUse(
                f"{len(self._loaded)} models are in use, as many as serving.most_loaded allows; send the "
                "request again later, or to one of them"
            )
        return [self._loaded.pop(key) for key in idle[: max(surplus, 0)]]

    def _load(self, loaded: _Loaded) -> None:
        begun = time.monotonic()
        try:
            engine = self._source.open(loaded.version, self._settings)
            if self._tools:
                try:
                    engine.tools = self._tools(engine.tokenizer)
                except BaseException:
                    engine.close()
                    raise
        except BaseException as error:
            with self._lock:
                self._loaded.pop(loaded.version.hash, None)
            loaded.engine.set_exception(error)
            raise
        loaded.engine.set_result(engine)
        log.info("%s is loaded, in %.1f s", loaded.version.label, time.monotonic() - begun)

    def _follow(self) -> None:
        while not self._is_closed.wait(self._refresh_seconds):
            try:
                self.refresh()
            except AlignloopError as error:  # the registry is away, or a model cannot be loaded
                log.error("the models stay as they are: %s", error)
            except Exception:
                log.exception("the models stay as they are")


def _find(versions: list[ServedVersion], name: str) -> ServedVersion | None:
    return next((version for version in versions if name in version.names), None)
