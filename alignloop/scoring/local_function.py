"""A function `(prompts, responses) -> scores` as a part of the score: found, called within a time limit.

`prompts` are records (`prompt.messages`, `prompt.check`), `responses` texts. It must depend on these alone:
a resumed run calls it again on the same ones.
"""

import importlib
import inspect
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from alignloop.core import parallel_passes
from alignloop.records import Prompt
from alignloop.scoring.drawn import Drawn, checked, fault
from alignloop.training.user_code import SCORES, is_watched

ScoreFunction = Callable[[Sequence[Prompt], Sequence[str]], Any]


class LocalFunction:
    """The function named `module:function`, which may take `timeout_s` for the responses of a step.

    Of several processes the first calls it. Raises ScoreError.
    """

    def __init__(self, part: str, name: str, root: Path, timeout_s: float) -> None:
        self.part, self.name = part, name
        self._timeout_s = timeout_s
        self._function = find_function(part, name, root)
        self._remedy = f"mend {name}"

    def __call__(self, drawn: Drawn) -> Tensor:
        return parallel_passes.agreed(
            self._scores(drawn) if parallel_passes.is_writer() else cast(Tensor, None)
        )

    def _scores(self, drawn: Drawn) -> Tensor:
        done, error = self._call(list(drawn.prompts), list(drawn.texts))
        if not done and error is None:
            problem = f"no scores within {self._timeout_s:g} s"
            raise fault(self.part, drawn.names, problem, f"{self._remedy}, or raise scoring.timeout_s")
        if error is not None:
            raise fault(self.part, self._failing(drawn), _told(error), self._remedy) from error
        return checked(done[0], self.part, drawn.names, self._remedy)

    def _failing(self, drawn: Drawn) -> Sequence[str]:
        """The first prompt at which the function fails by itself; all if that is not found in time."""
        deadline = time.monotonic() + self._timeout_s
        for prompt, text in zip(drawn.prompts, drawn.texts, strict=True):
            _, error = self._call([prompt], [text])
            if error is not None:
                return [prompt.id]
            if time.monotonic() > deadline:
                break
        return drawn.names

    def _call(self, prompts: list[Prompt], texts: list[str]) -> tuple[list[Any], BaseException | None]:
        """What the function gave, as a list of one, and what it raised; neither if it takes too long."""
        given: list[Any] = []
        raised: list[BaseException] = []

        def call() -> None:
            try:
                given.append(self._function(prompts, texts))
            except BaseException as error:  # of the user's code: also SystemExit
                raised.append(error)

        thread = threading.Thread(target=call, name=f"score {self.part}", daemon=True)
        thread.start()  # a daemon: the process ends without it
        thread.join(self._timeout_s)
        return given, raised[0] if raised else None


def find_function(part: str, name: str, root: Path) -> ScoreFunction:
    """The function of a file in scores/, which DVC watches, or of an installed package.

    Raises ScoreError where it cannot be imported or called with prompts and responses, or lies elsewhere.
    """
    module_name, _, attribute = name.partition(":")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # it runs code, which may fail in any way
        remedy = f"write {SCORES}/NAME.py with that function and name it {SCORES}.NAME:FUNCTION"
        raise fault(part, (), f"{module_name} cannot be imported: {_told(error)}", remedy) from None
    file = Path(getattr(module, "__file__", None) or "?").resolve()
    if not is_watched(file, root / SCORES):
        raise fault(
            part,
            (),
            f"{module_name} is {file}, which DVC does not watch: PPO would not run again when it changes",
            f"move it into {SCORES}/ and name it {SCORES}.NAME:FUNCTION",
        )
    function = getattr(module, attribute, None)
    if not callable(function):
        raise fault(part, (), f"{file.name} has no function {attribute}", "correct its name in params.yaml")
    try:
        inspect.signature(function).bind([], [])
    except TypeError as error:
        raise fault(part, (), f"{name} does not take (prompts, responses): {error}", "mend it") from None
    except ValueError:  # of a function in C: nothing is known
        pass
    return function


def _told(error: BaseException) -> str:
    """The error with the line of the user's code that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}{': ' if said else ''}{said}{where}"
