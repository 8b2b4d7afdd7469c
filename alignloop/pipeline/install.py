"""`python alignloop/pipeline/install.py ARGUMENTS`: `pip install ARGUMENTS` that says how far it is.

It runs before anything is installed, so it imports the standard library alone. pip's own bars need a
terminal, and its list of packages is one line of thousands of characters.
"""

import compileall
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

EVERY_SECONDS = 15.0
# pip compiles one module after another: it is done afterwards, on all cores
QUIETLY = ("--no-compile", "--disable-pip-version-check", "--progress-bar", "off")
PIP = (sys.executable, "-m", "pip", "install", *QUIETLY)
FOUND = re.compile(r"(?:Collecting|Requirement already satisfied:) ([\w.\-]+)")
FETCHED = re.compile(r" *(?:Downloading|Using cached) (\S+\.(?:whl|tar\.gz))(?! metadata)(?:\s|$)")
LIST = "Installing collected packages: "
# a quarter of all modules, which hardly anybody imports: tests, families of models, numbers of countries
SELDOM = re.compile(r"/tests?/|/phonenumbers/(geo)?data/|/transformers/models/(?!auto/|llama/|gpt2/|qwen2/)")


class Progress:
    """What pip has reported so far; `packages` is where it installs."""

    def __init__(self, packages: Path) -> None:
        self.packages = packages
        self._found: set[str] = set()
        self._fetched: set[str] = set()
        self._before = 0
        self.total = 0  # of the packages that are to be installed, once that is known

    def read(self, lines: Iterable[str]) -> None:
        """Take in pip's output until it ends."""
        for line in lines:
            if found := FOUND.match(line):
                self._found.add(found[1].lower())
            elif fetched := FETCHED.match(line):
                self._fetched.add(fetched[1])
            elif line.startswith(LIST):
                self._before = self._installed()
                self.total = line.count(",") + 1

    def __str__(self) -> str:
        if self.total:
            done = min(max(self._installed() - self._before, 0), self.total)
            return f"{done} of {self.total} packages installed"
        return f"{len(self._found)} packages found, {len(self._fetched)} downloaded"

    def _installed(self) -> int:
        return sum(1 for _ in self.packages.glob("*.dist-info"))


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> int:
    """Run pip, and return its exit status. What it says of problems is printed if it fails."""
    began, progress = time.monotonic(), Progress(Path(sysconfig.get_path("purelib")))
    problems: list[str] = []
    command, pipe = [*PIP, *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, errors="replace") as pip:
        assert pip.stdout is not None
        assert pip.stderr is not None
        readers = [
            threading.Thread(target=progress.read, args=(pip.stdout,)),
            threading.Thread(target=problems.extend, args=(pip.stderr,)),
        ]
        for reader in readers:
            reader.start()
        while readers[0].is_alive():
            readers[0].join(EVERY_SECONDS)
            if readers[0].is_alive():
                say(f"installing: {progress} · {_clock(time.monotonic() - began)}")
        readers[1].join()
    if pip.returncode:
        sys.stderr.writelines(problems)
        return pip.returncode
    if progress.total:
        took = _clock(time.monotonic() - began)
        say(f"compiling the modules of {progress.total} packages, on all cores · {took}")
        # where Python writes no compiled modules (PYTHONDONTWRITEBYTECODE), each process would compile them
        # anew; what a package brings that is no Python of this version is left as it is, as by pip
        compileall.compile_dir(progress.packages, rx=SELDOM, quiet=2, workers=0)
    say(f"installed {progress.total} packages in {_clock(time.monotonic() - began)}")
    return 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def _flushed(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], _flushed))
