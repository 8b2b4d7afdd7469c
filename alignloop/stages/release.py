"""The release: every round's numbers, and the last policy held against the champion by `release.gates`. The runner registers it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignloop.data.record_files import read, write
from alignloop.errors import AlignloopError
from alignloop.evaluation.responses import answer, examination, summary
from alignloop.evaluation.results_table import gather, one_line, tables
from alignloop.files import replacing, rounded, write_json
from alignloop.params import Params
from alignloop.pipeline.dvc_lock import untraced_inputs
from alignloop.progress import Progress
from alignloop.records import Answer
from alignloop.release.gates import compare_responses, evaluate_gates, render_verdict


class ReleaseError(AlignloopError):
    """Something that a release consists of is missing or broken."""


def release(
    params: Params,
    evaluation: Path,
    rounds: Path,
    validation: Path,
    models: Path,
    prompts: Path,
    corpus: Path,
    champion: Path,
    out: Path,
    metrics: Path,
    report: Path,
) -> Iterator[Progress]:
    """Gather every round's results, and hold the last policy against the champion, or against SFT where nothing is in `champion`."""
    names = list(params.rounds)
    last = names[-1]
    parts = {
        "policy": models / last / "policy",
        "reward model": models / last / "reward",
        "SFT model": models / "sft",
    }
    for what, path in parts.items():
        if not path.is_dir():
            raise ReleaseError(
                f"{path}: the {what} to release is missing; bring it back with `dvc repro`, or with `dvc checkout {path}`"
            )
    evaluations: dict[str, Any] = {}
    for number, name in enumerate(names, 1):
        evaluations[name] = _json(
            rounds / name / "evaluate.json", f"evaluate@{name}", lambda found: gather({"last": found})
        )
        yield Progress(number, len(names) + 1, _curves(evaluations[name]))
    reward = _json(rounds / last / "reward.json", f"reward@{last}", lambda found: found["valid_accuracy"])
    breaches = [
        _json(validation / f"{name}.json", _gate(name), _breaches) for name in ("raw", "sets", *names)
    ]
    answers = read(evaluation / last / "answers.jsonl", Answer)
    mine, theirs = ([each for each in answers if each.model == model] for model in ("policy", "sft"))
    other = evaluations[last]["models"]["sft"]
    if champion.is_dir():
        answered = answer(
            params, "champion", champion, examination(params, prompts, corpus, parts["reward model"])
        )
        theirs, other = answered.answers, rounded(summary(answered))
    newest, holes = evaluations[last], untraced_inputs(Path.cwd(), parts["policy"].as_posix())
    decided = evaluate_gates(
        params.release.gates,
        newest["models"]["policy"],
        other,
        compare_responses(mine, theirs),
        newest["kl_to_sft_nats"],
        reward,
        sum(map(_breaches, breaches)),
        len(holes),
        champion.is_dir(),
    )
    results = gather(evaluations)
    write(out / "answers.jsonl", [*mine, *theirs])
    examples = _examples([*answers, *(theirs if champion.is_dir() else ())], last)
    text = f"# {params.release.registry}: results after {last}\n\n{render_verdict(decided)}\n{tables(results)}\n## What they answer\n\n{examples}"
    write_json(metrics, {**results, "verdict": decided})
    with replacing(report) as part:
        part.write_text(text, encoding="utf-8")
    met = sum(rule["met"] is True for rule in decided["rules"].values())
    yield Progress(
        len(names) + 1,
        len(names) + 1,
        {"gates_met": met, "gates_failed": sum(rule["met"] is False for rule in decided["rules"].values())},
    )


def _gate(name: str) -> str:
    return f"validate_{name}" if name in ("raw", "sets") else f"validate_rankings@{name}"


def _breaches(report: Mapping[str, Any]) -> int:
    return sum(part["breaches"] for part in report.values())


def _json(file: Path, stage: str, check: Callable[[Any], Any]) -> Any:
    """What a stage measured; `check` reads what is needed of it, and raises where it is not there."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        check(found)
    except OSError as error:
        raise ReleaseError(f"{file}: {error.strerror}; `dvc repro {stage}` makes it") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseError(
            f"{file}: not what {stage} writes ({error!r}); `dvc repro --force {stage}` makes it again"
        ) from None
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
    for each in answers:
        by_prompt.setdefault(each.prompt.id, {})[each.model] = each
    first: dict[str, dict[str, Answer]] = {}
    for replies in by_prompt.values():
        first.setdefault(next(iter(replies.values())).prompt.category, replies)
    parts = []
    for behaviour, replies in sorted(first.items()):
        prompt = next(iter(replies.values())).prompt
        said = [f"> **{message.role}** {one_line(message.content)}" for message in prompt.messages]
        titles = {"base": "base", "sft": "SFT", "champion": "champion", "policy": last}
        given = [
            f"- {title}: {one_line(replies[name].response)}{_mark(replies[name])}"
            for name, title in titles.items()
            if name in replies
        ]
        parts.append(
            "\n".join([f"**{behaviour.replace('_', ' ')}**", "", *"\n>\n".join(said).split("\n"), "", *given])
        )
    return "\n\n".join(parts) + "\n"


def _mark(answer: Answer) -> str:
    return "" if answer.passed is None else " — passes" if answer.passed else " — fails"
