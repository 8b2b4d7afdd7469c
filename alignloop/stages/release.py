"""The release: every round's numbers in one table, with examples, for whoever decides about the last policy. The runner registers it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alignloop.errors import AlignloopError
from alignloop.io.datasets import read
from alignloop.io.files import replacing, write_json
from alignloop.params import Params
from alignloop.records import Answer
from alignloop.stages.progress import Progress
from alignloop.stages.results import gather, tables


class ReleaseError(AlignloopError):
    """Something that a release consists of is missing or broken."""


def release(params: Params, evaluation: Path, rounds: Path, models: Path, metrics: Path, report: Path) -> Iterator[Progress]:
    """Gather every round's results, and check that the last round's models are there."""
    names = list(params.rounds)
    parts = {"policy": models / names[-1] / "policy", "reward model": models / names[-1] / "reward", "SFT model": models / "sft"}
    for what, path in parts.items():
        if not path.is_dir():
            raise ReleaseError(f"{path}: the {what} to release is missing; bring it back with `dvc repro`, or with `dvc checkout {path}`")
    evaluations: dict[str, Any] = {}
    for number, name in enumerate(names, 1):
        evaluations[name] = _evaluation(rounds / name / "evaluate.json", name)
        yield Progress(number, len(names), _curves(evaluations[name]))
    results = gather(evaluations)
    answers = read(evaluation / names[-1] / "answers.jsonl", Answer)
    last = names[-1]
    text = f"# {params.release.registry}: results after {last}\n\n{tables(results)}\n## What they answer\n\n{_examples(answers, last)}"
    write_json(metrics, results)
    with replacing(report) as part:
        part.write_text(text, encoding="utf-8")


def _evaluation(file: Path, round: str) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        gather({round: found})
    except OSError as error:
        raise ReleaseError(f"{file}: {error.strerror}; `dvc repro evaluate@{round}` makes it") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(f"{file}: not an evaluation ({error!r}); `dvc repro --force evaluate@{round}` makes it again") from None
    return found


def _curves(report: Mapping[str, Any]) -> dict[str, float]:
    """A round's numbers as points of curves over rounds."""
    policy, wins = report["models"]["policy"], report["win_rates"]
    numbers = {
        "win_rate_vs_sft": wins["policy_vs_sft"]["rate"],
        "win_rate_vs_before": wins["policy_vs_before"]["rate"],
        "gold": policy["gold"],
        "kl_to_sft_nats": report["kl_to_sft_nats"],
        "distinct_2": policy["distinct_2"],
        "perplexity": policy["perplexity"],
        "made_up": policy["made_up"],
        "length": policy["length"],
        "reward_accuracy_labelers": report["reward_model"]["accuracy_labelers"],
    }
    return {name: value for name, value in numbers.items() if value is not None}


def _examples(answers: list[Answer], last: str) -> str:
    """For each behaviour its first prompt in the file, unpicked, with what each model answered."""
    by_prompt: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        by_prompt.setdefault(answer.prompt.id, {})[answer.model] = answer
    first: dict[str, dict[str, Answer]] = {}
    for replies in by_prompt.values():
        first.setdefault(next(iter(replies.values())).prompt.category, replies)
    parts = []
    for behaviour, replies in sorted(first.items()):
        prompt = next(iter(replies.values())).prompt
        said = [f"> **{message.role}** {_line(message.content)}" for message in prompt.messages]
        titles = {"base": "base", "sft": "SFT", "policy": last}
        given = [f"- {title}: {_line(replies[name].response)}{_mark(replies[name])}" for name, title in titles.items() if name in replies]
        parts.append("\n".join([f"**{behaviour.replace('_', ' ')}**", "", *"\n>\n".join(said).split("\n"), "", *given]))
    return "\n\n".join(parts) + "\n"


def _line(text: str) -> str:
    """Text on one line, without the signs that Markdown would read."""
    flat = " ".join(text.split())
    return (
        "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in (flat if len(flat) <= 300 else flat[:300] + " …")) or "(nothing)"
    )


def _mark(answer: Answer) -> str:
    return "" if answer.passed is None else " — passes" if answer.passed else " — fails"
