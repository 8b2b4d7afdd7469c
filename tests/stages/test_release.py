"""A release gathers every round's numbers into one table, and registers the last round's models."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from alignloop import params, tracking
from alignloop.__main__ import main
from alignloop.data import record_files
from alignloop.evaluation.results_table import tables
from alignloop.params import Params
from alignloop.params.binding import bind
from alignloop.records import EvaluatedResponse, Message, Prompt
from alignloop.release.gates import render_verdict
from alignloop.stages.release import ReleaseError, release
from alignloop.tracking import registry
from tasks.publish_results import results
from tests.evaluation.evaluations import BEHAVIOURS, evaluation, win
from tests.release.result_files import lineage_of

PROJECT = Path(__file__).parents[2]
PLACES = {
    "evaluation": "data/evaluation",
    "rounds": "metrics/rounds",
    "validation": "metrics/validation",
    "models": "models",
    "prompts": "data/prompts",
    "corpus": "data/corpus",
    "champion": ".cache/champion",
    "rules": "configs/rules.yaml",
    "red_team": "configs/red_team.jsonl",
    "out": "data/release",
    "metrics": "metrics/release.json",
    "report": "reports/results.md",
}
LABELS = {"rankings_by": {"simulated (gold)": 4}, "all_rankings_by": {"people": 2, "simulated (gold)": 6}}
COMMAND = "release " + " ".join(f"--{name.replace('_', '-')} {place}" for name, place in PLACES.items())


def answer(
    name: str, text: str, behaviour: str, number: int, passed: bool | None = True
) -> EvaluatedResponse:
    messages = (Message(role="user", content=f"{behaviour} {number}?"),)
    prompt = Prompt(
        id=f"{behaviour}-{number}", messages=messages, user="u", category=behaviour, source="world"
    )
    verdict = {
        "gold": None if passed is None else float(name == "policy"),
        "passed": passed,
        "made_up": None,
        "over_refused": None,
    }
    return EvaluatedResponse(
        id=f"{name}-{prompt.id}",
        prompt=prompt,
        model=name,
        response=text,
        tokens=3,
        ended=True,
        score=0.5,
        **verdict,
    )


@pytest.fixture
def rounds(project: Path, tiny_policy: Path) -> Path:
    """Two rounds, evaluated, with their models."""
    text = (project / "params.yaml").read_text().split("\nrounds:")[0]
    text += (
        "\nrounds:\n  r1: {policy: models/sft, start: models/sft, reward_start: models/sft, rankings: "
        "data/rankings/imported, by: ppo}\n"
    )
    text += (
        "  r2: {policy: models/r1/policy, start: models/sft, reward_start: models/sft, rankings: "
        "data/rankings/r1, by: dpo}\n"
    )
    (project / "params.yaml").write_text(text)
    for name, rate in (("r1", 0.625), ("r2", 0.75)):
        (project / "metrics" / "rounds" / name).mkdir(parents=True)
        (project / "metrics" / "rounds" / name / "evaluate.json").write_text(
            json.dumps(evaluation(1.0 + rate, rate))
        )
        (project / "metrics" / "rounds" / name / "reward.json").write_text(
            '{"train_accuracy": 0.75, "valid_accuracy": 0.6875, "agreement": {"users": {"pairs": 0}}}'
        )
        (project / "metrics" / "rounds" / name / "label.json").write_text(json.dumps(LABELS))
        write_model(project / "models" / name / "policy", f"{name} policy", tiny_policy)
        write_model(project / "models" / name / "reward", f"{name} reward")
        answers = [
            answer(model, f"{model} says *so*", behaviour, number, model != "base")
            for number in (1, 2)
            for behaviour in BEHAVIOURS
            for model in ("base", "sft", "policy")
        ]
        (project / "data" / "evaluation" / name).mkdir(parents=True)
        record_files.write(project / "data" / "evaluation" / name / "responses.jsonl", answers)
    write_model(project / "models" / "sft", "sft", tiny_policy)
    (project / "metrics" / "validation").mkdir()
    for name in ("raw", "sets", "r1", "r2"):
        (project / "metrics" / "validation" / f"{name}.json").write_text(
            '{"prompts": {"rows": 4, "rules": 2, "violations": 0}}'
        )
    (project / "configs").mkdir()
    for name in ("rules.yaml", "red_team.jsonl"):
        shutil.copy(PROJECT / "configs" / name, project / "configs")
    (project / "releases").mkdir()
    (project / "releases" / "champion.json").write_text('{"champion": null, "previous": null}')
    (project / "dvc.lock").write_text(
        '{"stages": {"ppo@r2": {"outs": [{"path": "models/r2/policy", "md5": "1"}]}}}'
    )
    return project


def write_model(folder: Path, words: str, like: Path | None = None) -> None:
    """Write a model without real weights; the other files are those of a real one."""
    if like:
        shutil.copytree(like, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_text(words)


def chosen(root: Path) -> Params:
    return params.load(root / "params.yaml")


def released(root: Path) -> None:
    list(bind(release, chosen(root))(**{name: Path(place) for name, place in PLACES.items()}))


def test_the_same_numbers_give_the_same_bytes(rounds: Path):
    released(rounds)
    written = [(rounds / name).read_bytes() for name in ("metrics/release.json", "reports/results.md")]
    released(rounds)
    assert [
        (rounds / name).read_bytes() for name in ("metrics/release.json", "reports/results.md")
    ] == written
    numbers = json.loads(written[0])
    assert list(numbers["rows"]) == ["base", "sft", "r1", "r2"]
    assert numbers["rows"]["r2"]["win_rate_vs_sft"] == win(0.75)
    assert numbers["last_against_first"]["win_rate_vs_sft"] == 0.125


def test_the_report_shows_the_first_prompt_of_each_behaviour_unpicked_and_as_text(rounds: Path):
    released(rounds)
    report = (rounds / "reports" / "results.md").read_text()
    _, unpicked = report.split("The first test prompt of each behaviour, whatever the responses are.")
    assert unpicked.count("> **user** fact 1?") == unpicked.count("> **user** false\\_premise 1?") == 1
    assert "fact 2?" not in unpicked
    assert "- base: base says \\*so\\* — fails" in unpicked
    assert "- r2: policy says \\*so\\* — passes" in unpicked


def test_the_report_says_who_ranked_in_every_round_and_what_the_candidate_learned_from(rounds: Path):
    released(rounds)
    report = (rounds / "reports" / "results.md").read_text()
    assert "Its reward model learned from 8 rankings: 75 % simulated (gold), 25 % people." in report
    assert "Rankings added in each round: r1 4 (all simulated (gold)); r2 4 (all simulated (gold))." in report
    assert "Simulated labelers rank by the rule gold, the built-in environment" in report


def test_the_report_shows_wins_losses_and_ties_with_their_labels_and_the_rule(rounds: Path):
    released(rounds)
    report = (rounds / "reports" / "results.md").read_text()
    _, _, section = report.partition("## The candidate and SFT side by side")
    section, _, _ = section.partition("## Every model's responses")
    assert (
        "the candidate's response is better on 4 of 4 test prompts, worse on 0 and the same on 0" in section
    )
    assert section.count("**The candidate is better**: 1.00 against 0.00 by gold\n\n> ") == 3
    assert "**The candidate is worse on no prompt.**" in section
    assert "**The candidate is the same on no prompt.**" in section


def test_too_little_data_is_said_at_the_top_of_the_report_and_enough_is_not(rounds: Path):
    released(rounds)
    report, metrics = rounds / "reports" / "results.md", rounds / "metrics" / "release.json"
    assert "Too little data" not in report.read_text()
    place = rounds / "metrics" / "rounds" / "r2"
    numbers = json.loads((place / "evaluate.json").read_text())
    numbers["win_rates"]["policy_vs_sft"]["n"] = 11
    (place / "evaluate.json").write_text(json.dumps(numbers))
    accuracies = json.loads((place / "reward.json").read_text())
    sizes = {"demonstrations": 20, "pairs": 30, "valid_pairs": 94}
    (place / "reward.json").write_text(json.dumps(accuracies | sizes))
    released(rounds)
    assert json.loads(metrics.read_text())["data"] == sizes | {"test_prompts": 11}
    top, _, _ = report.read_text().partition("**Gates")
    assert [line.split()[1] for line in top.splitlines() if line.startswith("- ")] == ["20", "30", "11"]
    assert results(rounds).rstrip().endswith("or evaluate.prompts"), "the console ends with it"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "models/r2/reward").rename(root / "away"),
            r"models/r2/reward: the reward model to release is missing; .*dvc repro",
        ),
        (
            lambda root: (root / "metrics/rounds/r1/evaluate.json").unlink(),
            r"r1/evaluate\.json: No such file.*`dvc repro evaluate@r1` makes it",
        ),
        (
            lambda root: (root / "metrics/rounds/r1/label.json").write_text('{"rankings": 4}'),
            r"r1/label\.json: not what label@r1 writes .*--force label@r1",
        ),
        (
            lambda root: (root / "metrics/rounds/r1/evaluate.json").write_text("{"),
            r"r1/evaluate\.json: not what evaluate@r1 writes .*--force evaluate@r1",
        ),
        (
            lambda root: (root / "metrics/rounds/r1/evaluate.json").write_text('{"models": {}}'),
            r"not what evaluate@r1 writes \(KeyError\('base'\)\)",
        ),
    ],
)
def test_what_is_missing_or_broken_is_named_with_the_way_to_get_it(rounds: Path, spoil: Any, message: str):
    spoil(rounds)
    with pytest.raises(ReleaseError, match=message):
        released(rounds)
    assert not (rounds / "metrics" / "release.json").exists()


def test_a_release_registers_the_last_rounds_models_with_parents_data_and_results(
    rounds: Path, capsys: pytest.CaptureFixture
):
    stages = {
        "release": {
            "cmd": f"python -m alignloop {COMMAND}",
            "deps": ["models", "metrics/rounds", "data/evaluation"],
            "params": ["release"],
        }
    }
    models = {
        "cmd": "true",
        "outs": [f"models/{name}" for name in ("sft", "r1/policy", "r1/reward", "r2/policy", "r2/reward")],
    }
    stages["release"]["metrics"] = ["metrics/release.json"]
    (rounds / "dvc.yaml").write_text(json.dumps({"stages": {"models": models, **stages}}))
    found = lineage_of(rounds)
    for _ in range(2):
        assert main(COMMAND.split()) == 0
    said = capsys.readouterr().out
    numbers = json.loads((rounds / "metrics" / "release.json").read_text())
    results, verdict = tables(numbers), render_verdict(numbers["verdict"])
    sentence = verdict.partition("\n")[0].replace("**", "")
    names = "alignloop-sft/1, alignloop-reward/1, alignloop-policy/1"
    registered = f"{sentence}\nregistered {names} @candidate"
    assert f"{registered}\nalignloop-policy/1 @candidate: is the champion now: #1 " in said
    assert f"{registered} @champion\nalignloop-policy/1 @candidate @champion: decided before: #1 " in said
    versions = {version.name: version for version in registry.versions(rounds)}
    assert {name: (version.version, version.hash) for name, version in versions.items()} == {
        "alignloop-sft": (1, found["models/sft"]),
        "alignloop-reward": (1, found["models/r2/reward"]),
        "alignloop-policy": (1, found["models/r2/policy"]),
    }, "released twice, registered once"
    policy = registry.find(rounds, "alignloop-policy@candidate")
    sft, reward = f"alignloop-sft/1 {found['models/sft']}", f"alignloop-reward/1 {found['models/r2/reward']}"
    assert policy.parents == {"models/sft": sft, "models/r2/reward": reward}
    assert (policy.stage, policy.round, policy.path) == ("ppo", "r2", "models/r2/policy")
    by = "75 % simulated (gold), 25 % people"
    assert policy.tags["rankings"] == versions["alignloop-reward"].tags["rankings"] == by
    assert f"learned from: {by}." in versions["alignloop-reward"].description
    assert "rankings" not in versions["alignloop-sft"].tags, "SFT learned from no ranking"
    for part in (
        f"- models/sft: {sft}",
        f"- data/demonstrations: {found['data/demonstrations']}, 3 records in 1 file by 1 labeler",
        *re.sub(r"-{3,}", "---", re.sub(" +", " ", f"{verdict}\n{results}"))
        .strip()
        .split("\n\n"),  # tables without padding
    ):
        assert part in policy.description
    assert (Path(policy.source.removeprefix("file://")) / "model.safetensors").read_text() == "r2 policy"


def test_a_release_draws_the_rounds_and_puts_them_into_mlflow_as_curves(rounds: Path):
    lineage_of(rounds)
    (rounds / "dvc.yaml").write_text((PROJECT / "dvc.yaml").read_text())
    for name in ("data/raw", "data/sources"):
        (rounds / name).mkdir(parents=True)
    assert main(COMMAND.split()) == 0
    [run] = [run for run in tracking.runs(rounds) if run.stage == "release"]
    history = tracking.client(tracking.store_uri(rounds)).get_metric_history(
        run.id, "release/win_rate_vs_sft"
    )
    assert [(point.step, point.value) for point in history] == [(1, 0.625), (2, 0.75)]
    assert tracking.client(tracking.store_uri(rounds)).get_run(run.id).data.metrics["release/gates_met"] == 10
    kept = rounds / "mlruns" / "artifacts" / run.id / "artifacts"
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.*")) == [
        "figures/release.png",
        "metrics/release.json",
        "reports/results.md",
    ]
