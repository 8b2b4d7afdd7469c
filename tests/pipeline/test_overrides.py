"""params.yaml is changed in place: comments stay, nothing invalid is written, changes are returned."""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml

from alignloop.params import ParamsError, load
from alignloop.pipeline.overrides import override, parse_value

DEFAULTS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(DEFAULTS.read_text())
    return tmp_path / "params.yaml"


def plan(**changes: str) -> dict[str, str]:
    """Return a round on inputs that always exist, with `changes`."""
    sft = "models/sft"
    given = {"policy": sft, "start": sft, "reward_start": sft, "rankings": "data/rankings/imported"}
    return {**given, "by": "ppo", **changes}


def changed_lines(path: Path) -> list[str]:
    before = DEFAULTS.read_text().splitlines()
    return [line for line in path.read_text().splitlines() if line not in before]


def test_one_key_changes_one_line_and_keeps_its_comment(params: Path) -> None:
    before = load(params).threads
    assert override(params, changes={"threads": before + 1}) == {"threads": (before, before + 1)}
    (line,) = changed_lines(params)
    (before_line,) = [line for line in DEFAULTS.read_text().splitlines() if line.startswith("threads:")]
    assert line.startswith(f"threads: {before + 1} ")
    assert line.partition("#")[2] == before_line.partition("#")[2] != ""


def test_no_change_leaves_the_file_alone(params: Path) -> None:
    written = params.stat().st_mtime_ns
    assert override(params) == override(params, changes={"seed": load(params).seed}) == {}
    assert params.stat().st_mtime_ns == written


def test_a_file_is_merged_by_section_and_changes_win_over_it(params: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra.yaml"
    extra.write_text(
        "ppo: {steps: 30, kl: {coef: 0.5}}\nrounds:\n"
        "  r1: {policy: models/sft, start: models/sft, reward_start: models/sft, "
        "rankings: data/rankings/imported, by: ppo}\n"
    )
    changes = override(params, extra, {"ppo.steps": 45})
    after, before = load(params), load(DEFAULTS)
    assert (after.ppo.steps, after.ppo.kl.coef, list(after.rounds)) == (
        45,
        0.5,
        ["r1"],
    )  # rounds are one value: replaced, not merged
    assert after.ppo.clip == before.ppo.clip
    assert {"ppo.steps", "ppo.kl.coef"} <= set(changes)


def test_a_round_is_added_by_its_key(params: Path) -> None:
    last = list(load(params).rounds)[-1]
    override(
        params,
        changes={"rounds.extra": plan(policy=f"models/{last}/policy", rankings=f"data/rankings/{last}")},
    )
    assert list(load(params).rounds)[-1] == "extra"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("2.5E3", 2500.0), ("3", 3), ("x", "x"), ("null", None), ("{a: [1]}", {"a": [1]})],
)
def test_values_are_yaml_and_numbers_with_an_exponent_are_numbers(text: str, value: Any) -> None:
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_small_numbers_are_written_so_that_every_yaml_parser_reads_numbers(params: Path) -> None:
    override(params, changes={"ppo.learning_rate": parse_value("1e-5")})
    assert yaml.safe_load(params.read_text())["ppo"]["learning_rate"] == 1e-5
    assert load(params).ppo.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ppo.stepz": 3}, r"--set ppo\.stepz: ppo\.stepz: unknown key"),
        ({"ppo.steps": "many"}, r"ppo\.steps: .*not 'many'"),
        ({"pppo.steps": 3}, r"pppo is not a section of params\.yaml; it has seed, "),
        ({"seed.deep": 3}, "seed is not a section"),
        ({"rounds": 5}, r"rounds: Input should be a valid dictionary, not 5"),
        ({"rounds": [1, 2]}, r"rounds: Input should be a valid dictionary"),
        ({"rounds": {}}, r"rounds: .* at least 1 item"),
        ({"rounds": {1: {}}}, r"rounds: the name 1 is not text; write r1"),
        ({"rounds.sft": plan()}, r"rounds\.sft: the name is taken by models/sft; rename the round"),
        ({"pretrain.width": 130}, r"pretrain: width: 130 is no multiple of 2 · 4 heads"),
        ({"ppo.adam_betas": [1.0, 0.9]}, r"ppo\.adam_betas\.0: .* less than 1, not 1\.0"),
        (
            {"rounds.r9": plan(policy="models/r8/policy")},
            r"rounds\.r9\.policy: 'models/r8/policy' is made by no earlier round",
        ),
        (
            {"rounds.r9": plan(reward_start="models/r9/reward")},
            r"rounds\.r9\.reward_start: 'models/r9/reward' is made by no earlier round",
        ),
        (
            {"rounds.r9": plan(reward_start="models/r1/reward")},
            r"r9\.reward_start: .* has learned from rankings that data/rankings/imported does",
        ),
        (
            {"rounds.r9": {"policy": "models/sft", "start": "models/sft"}},
            r"(?s)rounds\.r9\.reward_start: the key is missing.*rankings: the key is",
        ),
        (
            {"rounds.r9": plan(reward_start="models/r1/policy")},
            r"made by no earlier round; known here: models/r1/reward, models/r2/reward",
        ),
        (
            {"rounds.r9": plan(start="models/r1/reward")},
            r"made by no earlier round; known here: models/base, models/r1/policy",
        ),
    ],
)
def test_an_invalid_change_is_named_and_not_written(
    params: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        override(params, changes=changes)
    assert params.read_text() == DEFAULTS.read_text()


@pytest.mark.parametrize(
    "name", ["r9;touch x;#", "$(id)", "`id`", "../x", "a/b", "-r", "", "r9\n", "r 9", "é", ".", "r" * 65]
)
def test_a_round_whose_name_is_no_plain_word_is_refused(params: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "with.yaml").write_text(yaml.safe_dump({"rounds": {name: plan(), "r9": plan(), "@": plan()}}))
    with pytest.raises(ParamsError, match=r"rounds.*the name of a round must be") as refused:
        override(params, tmp_path / "with.yaml")
    assert str(refused.value).count("the name of a round must be") == 2  # all that is wrong at once
    assert params.read_text() == DEFAULTS.read_text()


@pytest.mark.parametrize("name", ["r1", "R-2_b", "2026-11", "x" * 64])
def test_a_round_may_have_any_plain_word_as_its_name(params: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "with.yaml").write_text(yaml.safe_dump({"rounds": {name: plan()}}), encoding="utf-8")
    override(params, tmp_path / "with.yaml")
    assert list(load(params).rounds) == [name]


@pytest.mark.parametrize("key", ["seed", "base", "threads", "rounds.r1.policy", "sft.epochs", "nokey"])
def test_aliases_that_stand_for_more_than_memory_holds_are_refused_at_once(
    params: Path, tmp_path: Path, key: str
) -> None:
    """Thirty lines of aliases, each ten times the one before, would be 10 ** 30 items written out."""
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 31)]
    *sections, last = key.split(".")
    nested = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(sections))
    bomb = "\n".join(levels) + f"\n{nested}{'  ' * len(sections)}{last}: *a30\n"
    (tmp_path / "bomb.yaml").write_text(bomb)
    began = time.monotonic()
    with pytest.raises(ParamsError) as refused:
        override(params, tmp_path / "bomb.yaml")
    assert time.monotonic() - began < 10
    assert len(str(refused.value)) < 20_000


def test_an_unusable_file_is_named(params: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"nowhere\.yaml: No such file"):
        override(params, tmp_path / "nowhere.yaml")
    wrong = (
        (b"a: [", "not valid YAML"),
        (b"- 1", "is not a mapping"),
        (b"base: caf\xe9", "byte 9 is not UTF-8"),
        (b"seed: 1\nseed: 7", r"not valid YAML: the key 'seed' stands twice; remove one\n.*line 2"),
        (b"{a: 1}: 2", "not valid YAML"),
        (b"rounds: 3", ""),
    )
    for text, message in wrong:
        (tmp_path / "bad.yaml").write_bytes(text)
        with pytest.raises(ParamsError, match=rf"bad\.yaml: {message}"):
            override(params, tmp_path / "bad.yaml")
    params.write_bytes(params.read_bytes() + b"seed: 7\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: not valid YAML: the key 'seed' stands twice"):
        load(params)
    with pytest.raises(ParamsError, match="the key 'seed' stands twice"):
        override(params, changes={"seed": 2})


def test_a_value_that_is_not_yaml_is_refused_and_quoted() -> None:
    with pytest.raises(ParamsError, match=r"--set \{people: 0\.2: the value is not valid YAML"):
        parse_value("{people: 0.2")


def test_a_dvc_experiment_changes_only_the_key_it_names(params: Path) -> None:
    apply_overrides(params, ["ppo.kl.coef=0.25"])  # what `dvc exp run -S` does to the file
    assert load_yaml(params)["ppo"]["kl"]["coef"] == 0.25, "DVC reads what DVC wrote"
    before, after = load(DEFAULTS), load(params)
    assert after.ppo.kl.coef == 0.25
    kl = after.ppo.kl.model_copy(update={"coef": before.ppo.kl.coef})
    assert after.model_copy(update={"ppo": after.ppo.model_copy(update={"kl": kl})}) == before
