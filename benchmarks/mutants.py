"""Mutation tests of `alignloop.core`, module by module: `python -m benchmarks.mutants --help`.

mutmut changes every line of a module and runs the tests named for it, the fastest first, until one fails. A
mutant that none of these tests detects survives, even if a test of another module would detect it.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name

from alignloop.files import write_json

PROJECT = Path(__file__).parents[1]
CORE, TESTS = "alignloop/core", "tests/core"
PPO = ["test_experience", "test_memory", "test_ppo_numbers", "test_ppo_parameters", "test_ppo_resume"]
MORE = {  # a module's tests in other files than tests/core/test_MODULE.py
    "checkpoint_folder": ["test_models"],
    "checkpoint_selection": ["test_lm_training"],
    "experience": ["test_ppo_numbers"],
    "lora": ["test_memory"],
    "encoded_ranking": ["test_branch", "test_reward"],
    "lm_loss": ["test_losses", "test_lm_training"],
    "ppo_losses": ["test_losses", *PPO],
    "ranking_loss": ["test_losses", "test_reward"],
    "ranking_pairs": ["test_losses", "test_reward_metrics"],
    "reward_scoring": ["test_branch", "test_reward"],
    "reward_training": ["test_reward"],
    "models": ["test_memory", "test_reward"],
    "packing": ["test_branch", "test_lm_training"],
    "ppo": [*PPO, "test_guards"],
    "ppo_update": ["test_ppo", *PPO],
    "reward_model": ["test_reward", "test_models", "test_memory"],
    "train_state": ["test_checkpoint_selection", "test_training_loop", "test_ppo_resume"],
}
# a mutant that hangs or crashes is detected
KILLED = ("killed", "timeout", "segfault", "caught by type check")


def tests_of(module: str) -> list[str]:
    """The test files of a module."""
    files = [PROJECT / TESTS / f"{name}.py" for name in (f"test_{module}", *MORE.get(module, []))]
    return [f"{TESTS}/{file.name}" for file in files if file.exists()]


def prepare(folder: Path, module: str) -> None:
    """Write a copy of the project in which one module is mutated and its tests run."""
    for name in ("alignloop", "tests", "benchmarks"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "params.yaml", folder)
    section = "\n".join(
        [
            "[tool.mutmut]",
            f'source_paths = ["{CORE}"]',
            f'only_mutate = ["{CORE}/{module}.py"]',
            'also_copy = ["alignloop", "tests", "pyproject.toml", "params.yaml"]',
            f"pytest_add_cli_args_test_selection = {json.dumps(tests_of(module))}",
            'pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-seed=0"]',
            "",
        ]
    )
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(f"{text}\n{section}", encoding="utf-8")


def mutmut(folder: Path, *arguments: str) -> str:
    """Run a command of mutmut in the copy and return its output."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"mutmut {' '.join(arguments[:3])}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def names_of(folder: Path, module: str) -> list[str]:
    """The names of all mutants of a module."""
    file = f"{CORE}/{module}.py"
    with chdir(folder):  # where mutmut looks for its configuration
        mutated = mutate_file_contents(file, Path(file).read_text(encoding="utf-8"))
    return sorted(get_mutant_name(Path(file), name) for name in mutated.mutant_names)


def states(folder: Path) -> dict[str, str]:
    """The result of each mutant."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    return dict(line.strip().split(": ", 1) for line in lines if ": " in line)


def measure(module: str, before: dict[str, Any], sample: int, seed: int, children: int) -> dict[str, Any]:
    """The mutants of a module, their results, and the changes that no test detected.

    Of mutants tried `before` on the same code, only survivors are tried again.
    """
    code = hashlib.sha256((PROJECT / CORE / f"{module}.py").read_bytes()).hexdigest()
    known = before["tried"] if before.get("code") == code else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, module)
        names = names_of(folder, module)
        if known:
            chosen = [name for name, state in known.items() if state not in KILLED]
        elif 0 < sample < len(names):
            chosen = sorted(np.random.default_rng(seed).choice(names, sample, replace=False).tolist())
        else:
            chosen = names
        if chosen:
            mutmut(folder, "run", "--max-children", str(children), *chosen)
            known = known | {name: state for name, state in states(folder).items() if name in set(chosen)}
        with chdir(folder):
            missed = {
                name: get_diff_for_mutant(name, path=f"{CORE}/{module}.py")
                for name, state in known.items()
                if state not in KILLED
            }
    return {"code": code, "mutants": len(names), "tried": known, "survived": missed}


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.mutants", description="Mutants of alignloop.core against their modules' tests."
    )
    modules = sorted(file.stem for file in (PROJECT / CORE).glob("*.py") if file.stem != "__init__")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(modules)}; all of them")
    parser.add_argument(
        "--sample", type=int, default=0, help="try so many of a module's mutants, drawn at random; 0: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of that draw")
    parser.add_argument("--children", type=int, default=1, help="mutants at a time")
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for MODULE.json with each mutant's result; killed ones are not tried again",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - set(modules):
        parser.error(f"no module of {CORE}: {', '.join(sorted(unknown))}")
    print("| module | mutants | tried | killed | survived | killed, % |\n|---|---:|---:|---:|---:|---:|")
    for module in arguments.modules or modules:
        file = arguments.out / f"{module}.json" if arguments.out else None
        before = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {}
        result = measure(module, before, arguments.sample, arguments.seed, arguments.children)
        tried, survived = len(result["tried"]), len(result["survived"])
        share = f"{100 * (tried - survived) / tried:.1f}" if tried else "–"
        print(
            f"| `{module}.py` | {result['mutants']} | {tried} | {tried - survived} | {survived} | {share} |",
            flush=True,
        )
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, result)


if __name__ == "__main__":
    main()
