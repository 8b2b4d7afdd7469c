"""A function of one's own is called on records and texts; what it does wrong names the prompt."""

import shutil
import time
from pathlib import Path

import pytest

from alignloop.pipeline import code_paths
from alignloop.scoring.drawn import Drawn, ScoreError
from alignloop.scoring.local_function import LocalFunction, find_function
from alignloop.training import user_code
from tests.conftest import PROJECT
from tests.scoring.conftest import TEXTS


def scored(root: Path, body: str, drawn: Drawn, timeout_s: float = 60.0) -> list[float]:
    (root / "scores" / "own.py").write_text(f"def score(prompts, responses):\n    {body}\n")
    return LocalFunction("own", "scores.own:score", root, timeout_s)(drawn).tolist()


def test_it_gets_records_and_texts_and_gives_numbers(root: Path, drawn: Drawn) -> None:
    body = "return [len(r) + (p.id == 'p1') + len(p.check) for p, r in zip(prompts, responses)]"
    assert scored(root, body, drawn) == [10.0, 5.0, 11.0, 8.0]


@pytest.mark.parametrize("kind", ["torch.tensor([1, 2, 3, 4])", "numpy.float32([1, 2, 3, 4])"])
def test_tensors_and_arrays_are_numbers_too(root: Path, drawn: Drawn, kind: str) -> None:
    assert scored(root, f"import numpy, torch; return {kind}", drawn) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            "return [1 / (r != 'No.') for r in responses]",
            "prompt p1: ZeroDivisionError: division by zero (own.py",
        ),
        ("raise SystemExit(3)", "prompt p0: SystemExit: 3 (own.py, line 2); mend scores.own:score"),
        ("return [1.0] * 3", "prompts p0, p1, p2, p3: gave 3 scores for 4 responses"),
        ("return 1.0", "prompts p0, p1, p2, p3: gave float in place of a list of scores"),
        ("return [1.0, 2.0, float('nan'), 1.0]", "prompt p2: gave nan, which is not finite"),
        ("return [1.0, 1e39, 1.0, -1e39]", "prompts p1, p3: gave 1e+39, which is not finite"),
        ("return [10**400, 0, 0, 0]", "prompt p0: gave 1000000000"),
        ("return [1.0, 2.0, 3.0, None]", "prompt p3: gave 'None' in place of a number"),
        ("return [1.0, True, 3.0, 1.0]", "prompt p1: gave 'True' in place of a number"),
    ],
)
def test_what_it_does_wrong_names_the_part_and_the_prompt(
    root: Path, drawn: Drawn, body: str, fault: str
) -> None:
    with pytest.raises(ScoreError) as caught:
        scored(root, body, drawn)
    assert str(caught.value).startswith(f"ppo.score.own: {fault}")


def test_a_call_that_takes_too_long_ends_the_run(root: Path, drawn: Drawn) -> None:
    began = time.monotonic()
    with pytest.raises(ScoreError, match=r"p3: no scores within 0.05 s; mend .*, or raise scoring.timeout_s"):
        scored(root, "import time; time.sleep(30)", drawn, timeout_s=0.05)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("scores.none:score", "scores.none cannot be imported: ModuleNotFoundError: No module named"),
        ("scores.broken:score", "scores.broken cannot be imported: NameError: name 'x' is not defined"),
        ("outside:score", "outside.py, which DVC does not watch: PPO would not run again when it changes"),
        ("scores.fine:other", "fine.py has no function other"),
        ("scores.fine:one", "scores.fine:one does not take \\(prompts, responses\\)"),
    ],
)
def test_a_function_that_cannot_be_had_is_refused_before_anything_runs(
    root: Path, name: str, fault: str
) -> None:
    (root / "outside.py").write_text("def score(prompts, responses): return []\n")
    (root / "scores" / "broken.py").write_text("x\n")
    (root / "scores" / "fine.py").write_text("def one(prompts): return []\n")
    with pytest.raises(ScoreError, match=fault):
        find_function("own", name, root)


def test_an_installed_packages_function_and_the_example_are_found(root: Path, drawn: Drawn) -> None:
    assert callable(find_function("own", "numpy:dot", root))
    shutil.copy(PROJECT / "scores" / "brevity.py", root / "scores")
    brief = find_function("own", "scores.brevity:brief", root)
    assert brief(drawn.prompts, [*TEXTS[:3], "a " * 40]) == [1.0, 1.0, 1.0, 0.5]


def test_the_folder_is_the_one_that_dvc_watches() -> None:
    assert (user_code.SCORES, user_code.TOOLS) == (code_paths.SCORES, code_paths.TOOLS)
