"""The methods benchmark: its tables at numbers worked by hand, and all cells at their smallest."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.laboratory import Laboratory, load, merged
from benchmarks.methods import Plan, collect, differences, run, table, write

PROJECT = Path(__file__).parents[2]
SIZES = yaml.safe_load((PROJECT / "benchmarks/methods.yaml").read_text(encoding="utf-8"))


def cell(wins: float, **numbers: float) -> dict[str, float]:
    return {"wins": wins, "gold": -1.0, "kl": 0.5, "seconds": 10.0, **numbers}


def test_the_table_has_means_and_intervals_over_seeds():
    cells = {"DPO, β 0.1": {1: cell(0.5), 2: cell(0.6, seconds=30.0), 3: cell(0.7, kl=0.8)}}
    line = table(cells).splitlines()[2]
    reach = 4.303 * 0.1 / 3**0.5
    assert line == (
        f"| DPO, β 0.1 | 0.600 [{0.6 - reach:.3f}, {0.6 + reach:.3f}] | −1.000 | 0.60 | – | – | 17 | 3 |"
    )
    assert table({"best of 4": {1: cell(0.5)}}).splitlines()[2].startswith("| best of 4 | 0.500 | ")


def test_methods_are_compared_by_their_best_cells_seed_by_seed():
    cells = {
        "PPO, KL coefficient 0.3": {1: cell(0.5), 2: cell(0.6)},
        "PPO, KL coefficient 0.1": {1: cell(0.7), 2: cell(0.8)},
        "DPO, β 0.1": {1: cell(0.6), 2: cell(0.7)},
        "best of 2": {1: cell(0.5), 2: cell(0.5)},
        "best of 4": {1: cell(0.6), 2: cell(0.6)},
    }
    lines = differences(cells).splitlines()
    assert "less those of PPO, KL coefficient 0.1" in lines[0]
    assert lines[2:] == [
        "| DPO, β 0.1 | −0.100 [−0.100, −0.100] |",
        f"| best of 4 | −0.150 [−{0.15 + 0.05 * 12.706:.3f}, +{-0.15 + 0.05 * 12.706:.3f}] |",
    ]


def test_the_nine_methods_are_there_each_with_more_than_one_strength():
    plan = Plan(**SIZES)
    assert set(plan.methods) == {"PPO", "PPO-ptx", "RLOO", "GRPO", "DPO", "IPO", "KTO", "K-way DPO"}
    assert len(plan.cells()) == 16, "names of cells are distinct"
    assert len(SIZES["params"]["evaluate"]["best_of"]) > 1


def tiny(methods: dict[str, Any]) -> tuple[Plan, Any]:
    smallest = yaml.safe_load((PROJECT / "tests/tiny.yaml").read_text(encoding="utf-8"))
    changes = {
        "sample": {"prompts": 8, "valid_prompts": 4, "responses_per_prompt": 2},
        "decoding": {"max_new_tokens": 6},
        "evaluate": {"prompts": 8, "documents": 8, "best_of": [2]},
        "ppo": {"steps": 1, "prompts_per_step": 8, "ptx_documents_per_step": 4},
        "dpo": {"validations": 1, "validation_prompts": 4, "ptx_documents_per_step": 4},
    }
    return Plan({}, methods), load(merged(smallest, changes))


def test_all_cells_run_at_their_smallest_and_only_what_is_missing_runs_again(tmp_path: Path):
    plan, params = tiny(
        {
            "PPO": {"by": "ppo", "cells": [{"kl": {"coef": 0.1}}]},
            "DPO": {"by": "dpo", "cells": [{"beta_score_per_nat": 0.1}]},
        }
    )
    lab, cells, said = Laboratory(tmp_path / "seed-1", params), tmp_path / "seed-1/cells", []
    cells.mkdir(parents=True)
    lab.set_up(None)
    run(lab, plan, cells, said.append)
    names = ["PPO, KL coefficient 0.1", "DPO, β 0.1"]
    assert said == ["rankings and reward model", *names, "best of n"]
    assert sorted(path.name for path in cells.iterdir()) == sorted(
        ["shared.json", "best of 2.json", *(f"{name}.json" for name in names)]
    )
    found = collect(tmp_path, plan, [1, 2], [2])
    assert list(found) == [*names, "best of 2"]
    assert all(list(numbers) == [1] for numbers in found.values())
    write(found, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "methods.md",
        "methods.json",
        "methods.png",
    }

    (cells / "DPO, β 0.1.json").unlink()
    said.clear()
    run(lab, plan, cells, said.append)
    assert said == ["DPO, β 0.1"]
    again = collect(tmp_path, plan, [1], [2])["DPO, β 0.1"][1]
    first = found["DPO, β 0.1"][1]
    assert {**again, "seconds": 0} == pytest.approx({**first, "seconds": 0})


def test_every_cell_has_parameters_that_do_not_contradict_each_other():
    for by, changes in Plan(**SIZES).cells().values():
        load(merged(SIZES["params"], {by: merged(SIZES["params"][by], changes)}))
