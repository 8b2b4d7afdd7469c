"""Whether there is enough data to tell anything: plain warnings, with how much would be enough.

Intervals are Wilson's at 95 %, at their widest, which is for a rate of a half. How many demonstrations and
pairs are enough is what published work got by with.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

from alignloop.core.metrics import Z

CLOSE, WIDE = 0.05, 0.1  # half of an interval: close enough, and too wide to tell anything
FEW_DEMONSTRATIONS = 200
FEW_PAIRS = 1_000
MORE_PROMPTS = "bring more prompts, or raise prepare.test_share or evaluate.prompts"


def reach_of(count: int) -> float:
    """Half of the interval of a rate that is measured on so many outcomes."""
    return Z / (2 * (count + Z**2) ** 0.5)


def count_for(reach: float) -> int:
    """How many outcomes give an interval of no more than ± `reach`."""
    return ceil((Z / (2 * reach)) ** 2 - Z**2)


def size_warnings(sizes: Mapping[str, int]) -> list[str]:
    """A sentence for each set that is too small; sizes that are not known are left out."""
    said: list[str] = []
    count = sizes.get("demonstrations", FEW_DEMONSTRATIONS)
    if count < FEW_DEMONSTRATIONS:
        said.append(
            f"{count:,} demonstrations to learn from: SFT takes on their form at best; 1,000 good ones were "
            "enough for a large model (arXiv 2305.11206)"
        )
    count = sizes.get("pairs", FEW_PAIRS)
    if count < FEW_PAIRS:
        said.append(
            f"{count:,} ordered pairs to learn preferences from: 5,000 were enough for matters of style, "
            "60,000 for summaries (arXiv 1909.08593)"
        )
    for key, what, remedy in (
        ("valid_pairs", "ordered validation pairs: the reward model's accuracy", "bring more rankings"),
        ("test_prompts", "test prompts: a win rate", MORE_PROMPTS),
    ):
        count = sizes.get(key, count_for(WIDE))
        if count < count_for(WIDE):
            said.append(
                f"{count:,} {what} is known to ±{100 * reach_of(count):.0f} points only; {count_for(WIDE)} "
                f"give ±{100 * WIDE:.0f}, {count_for(CLOSE)} ±{100 * CLOSE:.0f}: {remedy}"
            )
    return said


def sizes_of(reward: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, int]:
    """How much a round's models have learned from, and were measured on, by the metrics of its stages."""
    sizes = {key: reward[key] for key in ("demonstrations", "pairs", "valid_pairs") if key in reward}
    return {**sizes, "test_prompts": int(evaluation["win_rates"]["policy_vs_sft"]["n"])}


def size_note(sizes: Mapping[str, int]) -> str:
    """The warnings as a note of a stage; empty if there is enough."""
    warnings = size_warnings(sizes)
    return f"too little data: {'; '.join(warnings)}" if warnings else ""


def size_section(sizes: Mapping[str, int]) -> str:
    """The warnings as Markdown that a console shows as well; empty if there is enough."""
    warnings = size_warnings(sizes)
    if not warnings:
        return ""
    return "\n".join(["**Too little data to tell much**:", "", *(f"- {each}" for each in warnings)]) + "\n"
