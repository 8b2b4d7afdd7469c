"""Pictures show every curve that changes, every behaviour and every round; without numbers there is none."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from alignloop.tracking.curve_figures import curves, overoptimisation
from alignloop.tracking.evaluation_figures import behaviours, rounds
from alignloop.tracking.figures import draw
from alignloop.tracking.reward_figures import agreement
from alignloop.training.curves import write_curve


def numbers(data: Any) -> list[float]:
    return [float(number) for number in data]


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_changing_curves_are_drawn_and_constant_ones_are_not(tmp_path: Path):
    write_curve(
        tmp_path / "sft.csv",
        [(step, {"loss": 3.0 / step, "kl_coef": 0.1, "score": step}) for step in (1, 2, 4)],
    )
    figure = curves(tmp_path / "sft.csv")
    assert figure is not None
    assert titles(figure) == ["loss", "score"]
    [line] = figure.axes[0].lines
    assert [numbers(line.get_xdata()), numbers(line.get_ydata())] == [[1, 2, 4], [3.0, 1.5, 0.75]]
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats per token", "reward-model score"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["step", "step"]


def test_a_step_without_a_value_is_left_out_of_the_curve(tmp_path: Path):
    write_curve(
        tmp_path / "ppo.csv",
        [(1, {"loss": 1.0}), (2, {"loss": 2.0, "kl": 5.0}), (3, {"loss": 3.0, "kl": 6.0})],
    )
    figure = curves(tmp_path / "ppo.csv")
    assert figure is not None
    assert [numbers(axes.lines[0].get_xdata()) for axes in figure.axes] == [[1, 2, 3], [2, 3]]


def test_a_long_curve_has_a_running_mean_over_its_points(tmp_path: Path):
    write_curve(tmp_path / "ppo.csv", [(step, {"score": float(step % 2)}) for step in range(1, 101)])
    figure = curves(tmp_path / "ppo.csv")
    assert figure is not None
    points, mean = figure.axes[0].lines
    assert numbers(points.get_ydata()) == [float(step % 2) for step in range(1, 101)]
    assert numbers(mean.get_ydata())[50] == pytest.approx(5 / 9), (
        "four before, itself, and four after: 1 0 1 0 1 0 1 0 1"
    )


def test_of_many_curves_a_dozen_is_drawn_with_the_informative_ones(tmp_path: Path):
    names = [f"other_{number}" for number in range(20)] + ["kl", "score"]
    write_curve(tmp_path / "ppo.csv", [(step, dict.fromkeys(names, float(step))) for step in (1, 2)])
    (tmp_path / "rounds" / "r2").mkdir(parents=True)
    (tmp_path / "ppo.csv").rename(tmp_path / "rounds" / "r2" / "ppo.csv")
    figure = curves(tmp_path / "rounds" / "r2" / "ppo.csv")
    assert figure is not None
    assert titles(figure) == [f"other {number}" for number in range(10)] + ["kl", "score"]
    assert figure.get_suptitle() == "ppo · r2: 2 steps; 12 of 22 curves"


@pytest.mark.parametrize("rows", [[], [(1, {"loss": 2.0})], [(1, {"loss": 2.0}), (2, {"loss": 2.0})]])
def test_constant_values_give_no_picture(tmp_path: Path, rows: list[tuple[int, dict[str, float]]]):
    write_curve(tmp_path / "sft.csv", rows)
    assert draw(tmp_path / "sft.csv", tmp_path / "sft.png") is None
    assert not (tmp_path / "sft.png").exists()
    with (tmp_path / "sft.csv").open() as stream:
        assert len(list(csv.reader(stream))) == len(rows) + 1


def evaluated(passed: float | None) -> dict[str, Any]:
    shares = {
        "fact": {"n": 40, "passed": passed},
        "false_premise": {"n": 60, "passed": None if passed is None else passed / 2},
    }
    return {"models": {name: {"behaviours": shares} for name in ("base", "sft", "policy")}}


def test_behaviours_have_a_bar_per_model_of_the_length_of_their_share():
    figure = behaviours(evaluated(0.5), "r1")
    assert figure is not None
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["false premise  (n 60)", "fact  (n 40)"]
    assert [[bar.get_width() for bar in group] for group in axes.containers] == [[0.25, 0.5]] * 3
    assert behaviours(evaluated(None), "r1") is None, "no gold, no picture"


def test_a_reward_models_picture_shows_calibration_and_accuracy(tmp_path: Path):
    group = {"pairs": 4, "accuracy": 0.75}
    report: dict[str, Any] = {
        "users": {"pairs": 8, "accuracy": 0.625},
        "length_correlation": {"score": 0.25, "labelers": None},
        "rank_distance": {"1": group, "2": {"pairs": 4, "accuracy": 0.5}},
        "categories": {
            "fact": group,
            "false_premise": {"pairs": 4, "accuracy": 0.5},
            "summary": {"pairs": 0, "accuracy": None},
        },
        "calibration": {
            "expected_error": 0.1,
            "bins": [{"pairs": 6, "chance": 0.6, "right": 0.5}, {"pairs": 2, "chance": 0.9, "right": 1.0}],
        },
    }
    figure = agreement(report, "r1")
    assert figure is not None
    assert "62.5% of 8 pairs" in figure.get_suptitle()
    assert figure.get_suptitle().endswith("length: score +0.25")
    curve, distances, categories = figure.axes
    assert [numbers(curve.lines[1].get_xdata()), numbers(curve.lines[1].get_ydata())] == [
        [0.6, 0.9],
        [0.5, 1.0],
    ]
    assert [[bar.get_width() for bar in group] for group in distances.containers] == [[0.75, 0.5]]
    assert [label.get_text() for label in categories.get_yticklabels()] == ["false premise  (4)", "fact  (4)"]
    assert agreement({"users": {"pairs": 0, "accuracy": None}}, "r1") is None
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "reward.json").write_text(json.dumps({"agreement": report}))
    assert draw(tmp_path / "r1" / "reward.json", tmp_path / "reward.png") == tmp_path / "reward.png"


def test_rounds_are_drawn_side_by_side_with_their_intervals(tmp_path: Path):
    def row(gold: float | None, rate: float | None) -> dict[str, Any]:
        win = None if rate is None else {"rate": rate, "low": rate - 0.125, "high": rate + 0.0625}
        plain = dict.fromkeys(("made_up", "kl_to_sft_nats", "distinct_2", "length", "perplexity"), 1.0)
        return {"gold": gold, "win_rate_vs_sft": win, "win_rate_vs_before": win, **plain}

    rows = {"base": row(0, 0.25), "sft": row(1, None), "r1": row(2, 0.5), "r2": row(3, 0.75)}
    figure = rounds({"rows": rows})
    assert figure is not None
    assert titles(figure)[:2] == ["gold score", "wins against SFT"]
    assert numbers(figure.axes[0].lines[0].get_ydata()) == [1, 2, 3]
    [bars] = figure.axes[1].containers
    assert [numbers(bars[0].get_xdata()), numbers(bars[0].get_ydata())] == [[1, 2], [0.5, 0.75]]
    assert [tuple(segment[:, 1]) for segment in bars[2][0].get_segments()] == [
        (0.375, 0.5625),
        (0.625, 0.8125),
    ]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["SFT", "r1", "r2"]
    for values in rows.values():
        values["gold"] = None
    without = rounds({"rows": rows})
    assert without is not None
    assert "gold score" not in titles(without)


def test_score_and_gold_are_drawn_over_the_root_of_kl(tmp_path: Path):
    file = tmp_path / "rounds" / "r2" / "overoptimisation.csv"
    write_curve(
        file,
        [(1, {"sqrt_kl": 2.0, "score": 5.0, "gold": 1.0}), (2, {"sqrt_kl": 1.0, "score": 3.0, "gold": 2.0})],
    )
    figure = overoptimisation(file)
    assert figure is not None
    score, means, gold, _ = figure.axes[0].lines
    assert [numbers(score.get_xdata()), numbers(score.get_ydata())] == [[1, 2], [3, 5]]
    assert numbers(means.get_ydata()) == [4, 4]
    assert numbers(gold.get_ydata()) == [2, 1]
    assert draw(file, tmp_path / "picture.png") is not None
    write_curve(file, [(1, {"sqrt_kl": 0.0, "score": 5.0})])
    without = overoptimisation(file)
    assert without is not None
    assert len(without.axes[0].lines) == 2, "no gold, no line"
    write_curve(file, [])
    assert overoptimisation(file) is None


def test_the_same_numbers_give_the_same_picture(tmp_path: Path):
    write_curve(tmp_path / "sft.csv", [(step, {"loss": 1 / step}) for step in range(1, 9)])
    for name in ("a.png", "b.png"):
        assert draw(tmp_path / "sft.csv", tmp_path / "new" / name) == tmp_path / "new" / name
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()
    assert imread(tmp_path / "new" / "a.png").std() > 0.02, "it is not blank"
