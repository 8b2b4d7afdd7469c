"""A clone of the project, in which tests run the whole loop as people do."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks import worktree


class Clone:
    """A clone of this working tree, and the commands one types in it."""

    def __init__(self, place: Path) -> None:
        self.root, self.home = place / "clone", place / "home"
        worktree.copy(self.root)
        self.home.mkdir()
        (self.root / ".dvc" / "config.local").write_text(
            f"[core]\n    site_cache_dir = {self.root}/.dvc/tmp/site\n"
        )  # as make does
        self.env = worktree.surroundings() | {"HOME": str(self.home), "TMPDIR": str(self.home)}
        for words in (
            ["init", "-q"],
            ["add", "-A"],
            ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start"],
        ):
            self.say("git", *words)

    def say(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def flow(self, *words: str) -> dict[str, str]:
        """Run the flow, and return what it said became of each stage, in lines that fit."""
        said = self.say(sys.executable, "-m", "flows.pipeline", *words)
        assert [line for line in said.splitlines() if len(line) > 110] == []
        places = [int(place) for place in re.findall(r"stage (\d+) of \d+(?: ·|$)", said, re.MULTILINE)]
        assert places == list(range(1, len(places) + 1)), "each stage says its place when it has ended"
        assert "\nnext:\nresults     reports/index.html" in said
        return outcomes(said)

    def verdict(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the gates said of the last candidate, and who is the champion."""
        places = ("metrics/release.json", "releases/champion.json")
        released, champion = (json.loads((self.root / place).read_text()) for place in places)
        return released["verdict"], champion

    def lock(self) -> dict[str, Any]:
        return yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]


def outcomes(text: str) -> dict[str, str]:
    return dict(re.findall(r"^[\d:]{8} ([\w@]+): (ran|restored|up to date)", text, re.MULTILINE))
