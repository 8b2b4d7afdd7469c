"""`python -m alignloop redteam FILE`: let a registered policy respond to prompts that shall get round a rule.

FILE is JSON Lines of {"prompt": …, "rule": NAME or null}. Prompts that get round a rule are added to the
permanent test prompts, configs/red_team.jsonl, which gate every later release.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from alignloop import params as parameters
from alignloop.evaluation.rule_results import SAMPLES, try_prompts
from alignloop.markdown import one_line
from alignloop.rules import red_team_file, rule_file
from alignloop.rules.red_team_file import Attempt
from alignloop.tracking import registry

QUOTED = 100  # characters


def command(arguments: Sequence[str]) -> int:
    """Try the prompts, print what got round, and keep those prompts."""
    parser = argparse.ArgumentParser("python -m alignloop redteam", description=__doc__)
    parser.add_argument("file", type=Path, help="red-team prompts, JSON Lines")
    parser.add_argument("--model", help="a version, NAME/3 or NAME@alias (default: serving.model)")
    parser.add_argument("--no-keep", action="store_true", help="add nothing to the permanent test prompts")
    options = parser.parse_args(arguments)
    params = parameters.load(Path("params.yaml"))
    rules = rule_file.load_rules(rule_file.FILE)
    prompts = red_team_file.read_prompts(options.file, rules)
    version = registry.find(Path.cwd(), options.model or params.serving.model)
    place = Path(".cache", "red_team")
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place) as folder:
        registry.download(Path.cwd(), version, Path(folder) / "model")
        attempts = try_prompts(
            rules,
            prompts,
            Path(folder) / "model",
            seed=params.seed,
            temperature=params.evaluate.temperature,
            decoding=params.decoding,
        )
    through = [each for each in attempts if each.got_round]
    for each in through:
        print(_line(each))
    stopped = sum(each.stopped is not None for each in attempts)
    print(
        f"{len(through)} of {len(attempts)} prompts get round a rule with {version.name}/{version.version} "
        f"({SAMPLES} responses to each); a rule stops {stopped} before the model"
    )
    if through and not options.no_keep:
        new = red_team_file.keep(red_team_file.FILE, [each.prompt for each in through])
        print(f"{new} new in {red_team_file.FILE}: later releases are held to them (release.gates.red_team)")
    return 0


def _line(attempt: Attempt) -> str:
    said = one_line(attempt.prompt.dialogue[-1]["content"], QUOTED)
    return f"{', '.join(attempt.got_round)}: {said}"
