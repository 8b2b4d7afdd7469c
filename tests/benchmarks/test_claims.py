"""The claims benchmark: intervals, verdicts and the curve along √KL at numbers worked by hand."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.claims import CLAIMS, interval, parabola, run, table, verdict
from benchmarks.laboratory import Laboratory, load, merged

PROJECT = Path(__file__).parents[2]


def test_the_interval_over_seeds_is_students_t():
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert interval([2.0])[1] == float("-inf"), "one seed proves nothing"


def test_a_claim_holds_if_all_its_parts_hold_and_fails_if_any_part_fails():
    above = (1.0, 0.5, 1.5)
    below = (-1.0, -1.5, -0.5)
    across = (0.1, -0.1, 0.3)
    assert verdict([above, above]) == "holds"
    assert verdict([above, across]) == "undecided"
    assert verdict([above, below]) == "does not hold"


def test_the_parabola_along_the_root_of_kl_is_recovered():
    path = [{"kl": d * d, "gold": 1 + d * (2 - 0.5 * d)} for d in (0.0, 0.5, 1.0, 2.0, 3.0)]
    assert parabola(path) == pytest.approx((2.0, 0.5))


def test_the_table_has_a_verdict_for_every_claim():
    def result(shift: float) -> dict[str, Any]:
        policy = {"gold": 1.0, "perplexity": 2.0}
        names = ("base", "sft", "ppo", "no-penalty", "static", "fresh")
        return {
            "rankings": {"100": 0.6, "200": 0.65 + shift, "400": 0.7},
            "batches": {"k-way": 0.6, "shuffled": 0.7 + shift},
            "wins": {
                "sft against base": 0.9,
                "ppo against sft": 0.6 + shift,
                "fresh against static": 0.5 + shift,
            },
            "policies": {**dict.fromkeys(names, policy), "no-ptx": {"gold": 1.0, "perplexity": 3.0 + shift}},
            "path": [{"kl": d * d, "gold": d * (2 - d) + shift} for d in (0.0, 1.0, 2.0, 3.0)],
            "demonstrations": {"train": 1e-7, "test": 0.1},
        }

    lines = table([result(-0.01), result(0.0), result(0.01)]).splitlines()
    found = {
        line.split("|")[1].strip()[:24]: line.split("|")[-2].strip()
        for line in lines[2:]
        if line.split("|")[1].strip()
    }
    assert list(found.values()) == [
        "**holds**",
        "**does not hold**",
        "**holds**",
        "**holds**",
        "**undecided**",
        "**holds**",
        "**holds**",
    ]


def test_all_experiments_run_at_their_smallest_and_again_from_their_results(tmp_path: Path):
    tiny = yaml.safe_load((PROJECT / "tests" / "tiny.yaml").read_text())
    smaller = {
        "sample": {"prompts": 8, "valid_prompts": 4, "responses_per_prompt": 2},
        "decoding": {"max_new_tokens": 6},
        "evaluate": {"prompts": 8, "documents": 8},
    }
    params = load(
        merged(tiny, smaller | {"ppo": {"steps": 1, "prompts_per_step": 8, "ptx_documents_per_step": 4}})
    )
    said: list[str] = []
    found = run(Laboratory(tmp_path / "one", params), None, said.append)
    assert len(said) == 5
    assert list(found["rankings"]) == ["2", "4", "8"]
    assert len(found["path"]) == 2, "twice the steps without a penalty"
    assert abs(found["demonstrations"]["train"]) < 1e-4
    assert all(claim.numbers(found) for claim in CLAIMS.values())
    assert run(Laboratory(tmp_path / "one", params), None, said.append) == found
