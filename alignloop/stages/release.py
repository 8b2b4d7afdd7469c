"""The release: every round's numbers, and the last policy compared with the champion by `release.gates`.

The runner registers what this stage writes.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignloop.core.sampler import OwnSampler
from alignloop.data.record_files import read, write
from alignloop.errors import AlignloopError
from alignloop.evaluation.data_size import size_section, sizes_of
from alignloop.evaluation.responses import load_test_set, respond, summary
from alignloop.evaluation.results_table import gather, tables
from alignloop.evaluation.side_by_side import contrasts, render
from alignloop.files import replacing, rounded, write_json
from alignloop.labeling.independent_judge import independent_wins
from alignloop.markdown import QUOTE_CHARACTERS, one_line, plain
from alignloop.params.evaluate import Evaluate
from alignloop.params.release import Release
from alignloop.params.rounds import Rounds
from alignloop.params.sample import Decoding
from alignloop.params.section import Seed
from alignloop.params.tools import Tools
from alignloop.pipeline.dvc_lock import adopted_rounds, untraced_inputs
from alignloop.progress import Progress
from alignloop.records import EvaluatedResponse
from alignloop.release.gates import compare_responses, evaluate_gates, render_verdict
from alignloop.release.rule_gates import RuleGates
from alignloop.release.rules_table import rules_table

EXAMPLES = 3  # of each outcome in the report
MAKERS = ("rankings_by", "all_rankings_by")  # of label.json: of the round, and of all that were learned from


class ReleaseError(AlignloopError):
    """Something that a release consists of is missing or broken."""


def release(
    seed: Seed,
    plan: Release,
    measured: Evaluate,
    decoding: Decoding,
    tools: Tools,
    planned: Rounds,
    evaluation: Path,
    rounds: Path,
    validation: Path,
    models: Path,
    prompts: Path,
    corpus: Path,
    champion: Path,
    rules: Path,
    red_team: Path,
    out: Path,
    metrics: Path,
    report: Path,
) -> Iterator[Progress]:
    """Gather every round's results; compare the last policy with the champion, or else with SFT."""
    names = list(planned)
    last = names[-1]
    parts = {
        "policy": models / last / "policy",
        "reward model": models / last / "reward",
        "SFT model": models / "sft",
    }
    for what, path in parts.items():
        if not path.is_dir():
            raise ReleaseError(
                f"{path}: the {what} to release is missing; "
                f"restore it with `dvc repro`, or with `dvc checkout {path}`"
            )
    ruled = RuleGates(rules, red_team)
    evaluations: dict[str, Any] = {}
    for number, name in enumerate(names, 1):
        evaluations[name] = _json(
            rounds / name / "evaluate.json", f"evaluate@{name}", lambda found: gather({"last": found}, {})
        )
        yield Progress(number, len(names) + 1, _curves(evaluations[name]))
    labels = {
        name: _json(rounds / name / "label.json", f"label@{name}", lambda found: [found[by] for by in MAKERS])
        for name in names
    }
    reward = _json(rounds / last / "reward.json", f"reward@{last}", lambda found: found["valid_accuracy"])
    reports = [
        _json(validation / f"{name}.json", _gate(name), _count_violations) for name in ("raw", "sets", *names)
    ]
    responses = read(evaluation / last / "responses.jsonl", EvaluatedResponse)
    mine, theirs = ([each for each in responses if each.model == model] for model in ("policy", "sft"))
    other = evaluations[last]["models"]["sft"]
    if champion.is_dir():
        tests = load_test_set(measured, prompts, corpus, parts["reward model"])
        drawn = respond(
            seed,
            measured,
            decoding,
            tools,
            name="champion",
            path=champion,
            tests=tests,
            sampler=OwnSampler(),  # a champion may be of another architecture than a server was started on
        )
        theirs, other = drawn.responses, rounded(summary(drawn))
    judged = independent_wins(seed, measured.judge, parts["reward model"], mine, theirs)
    if judged.pairs:
        write(out / "judged.jsonl", judged.pairs)
    of_rounds = {
        name: responses if name == last else read(evaluation / name / "responses.jsonl", EvaluatedResponse)
        for name in (names if ruled.rules.on("response") else ())
    }
    ruled.measure(
        {model: [each for each in responses if each.model == model] for model in ("base", "sft")}
        | {name: [each for each in given if each.model == "policy"] for name, given in of_rounds.items()}
        | ({"champion": theirs} if champion.is_dir() else {})
    )
    ruled.try_prompts(
        parts["policy"],
        seed=seed,
        temperature=measured.temperature,
        decoding=decoding,
        out=out / "red_team.jsonl",
    )
    newest, place = evaluations[last], parts["policy"].as_posix()
    holes = [*untraced_inputs(Path.cwd(), place), *adopted_rounds(Path.cwd(), place)]
    decided = evaluate_gates(
        plan.gates,
        newest["models"]["policy"],
        other,
        wins={**compare_responses(mine, theirs), **judged.wins},
        kl=newest["kl_to_sft_nats"],
        reward=reward,
        violations=sum(map(_count_violations, reports)),
        untraced=len(holes),
        against_champion=champion.is_dir(),
        rankings=labels[last]["all_rankings_by"],
        **ruled.values(last),
    )
    results = gather(evaluations, {name: found["rankings_by"] for name, found in labels.items()})
    results |= ruled.results
    sizes = sizes_of(reward, newest)
    write(out / "responses.jsonl", [*mine, *theirs])
    examples = _examples([*responses, *(theirs if champion.is_dir() else ())], last)
    other_name = "champion" if champion.is_dir() else "SFT"
    compared = render(contrasts([*mine, *theirs]), EXAMPLES, other_name, QUOTE_CHARACTERS)
    pieces = (
        f"# {plan.registry}: results after {last}\n",
        size_section(sizes),
        render_verdict(decided),
        tables(results),
        rules_table(results),
        f"## The candidate and {other_name} side by side\n\n{compared}\n",
        "## Every model's responses to the same prompts\n\n"
        f"The first test prompt of each behaviour, whatever the responses are.\n\n{examples}",
    )
    text = "\n".join(piece for piece in pieces if piece)
    write_json(metrics, {**results, "verdict": decided, "data": sizes})
    with replacing(report) as part:
        part.write_text(text, encoding="utf-8")
    outcomes = [rule["met"] for rule in decided["rules"].values()]
    counts = {"gates_met": outcomes.count(True), "gates_failed": outcomes.count(False)}
    yield Progress(len(names) + 1, len(names) + 1, counts)


def _gate(name: str) -> str:
    return f"validate_{name}" if name in ("raw", "sets") else f"validate_rankings@{name}"


def _count_violations(report: Mapping[str, Any]) -> int:
    return sum(part["violations"] for part in report.values())


def _json(file: Path, stage: str, check: Callable[[Any], Any]) -> Any:
    """A stage's metrics; `check` reads what is needed of them, and raises where it is missing."""
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


def _examples(responses: list[EvaluatedResponse], last: str) -> str:
    """For each behaviour its first prompt in the file, unpicked, with each model's response."""
    by_prompt: dict[str, dict[str, EvaluatedResponse]] = {}
    for each in responses:
        by_prompt.setdefault(each.prompt.id, {})[each.model] = each
    first: dict[str, dict[str, EvaluatedResponse]] = {}
    for replies in by_prompt.values():
        first.setdefault(next(iter(replies.values())).prompt.category, replies)
    parts = []
    for behaviour, replies in sorted(first.items()):
        prompt = next(iter(replies.values())).prompt
        turns = [f"> **{message.role}** {one_line(message.content)}" for message in prompt.messages]
        titles = {"base": "base", "sft": "SFT", "champion": "champion", "policy": last}
        items = [
            f"- {title}: {one_line(replies[name].response)}{_mark(replies[name])}"
            for name, title in titles.items()
            if name in replies
        ]
        quoted = "\n>\n".join(turns).split("\n")
        parts.append("\n".join([f"**{plain(behaviour.replace('_', ' '))}**", "", *quoted, "", *items]))
    return "\n\n".join(parts) + "\n"


def _mark(response: EvaluatedResponse) -> str:
    return {None: "", True: " — passes", False: " — fails"}[response.passed]
