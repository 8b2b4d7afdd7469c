"""A profile counts the records of a table, valid or not."""

from typing import Any

import pandas as pd

from alignloop.data.validation.profiles import profile_of


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), dtype=object)


def test_lengths_are_counted_by_powers_of_the_root_of_two_and_the_median_is_kept() -> None:
    profile = profile_of(
        table(*({"characters": length} for length in (0, 1, 2, 3, 4, 5, 6, 7, 15, 16, 1000)))
    )
    assert profile["mixes"] == {
        "length": {"0": 1, "1": 1, "11": 1, "16": 1, "2": 2, "4": 1, "5": 3, "724": 1}
    }
    assert (profile["rows"], profile["characters"]) == (11, 5.0)
    assert "agreement" not in profile, "no rankings here"


def test_distributions_cover_the_stated_fields_and_rare_values_count_together() -> None:
    rows = [
        {"characters": 1, "category": None if n < 2 else f"c{min(n, 40)}", "language": None}
        for n in range(100)
    ]
    mixes = profile_of(table(*rows))["mixes"]
    assert set(mixes) == {"length", "category"}, "no row states its language"
    assert sum(mixes["category"].values()) == 100
    assert (mixes["category"]["c40"], mixes["category"]["unstated"], mixes["category"]["others"]) == (
        60,
        2,
        10,
    )
    broken = profile_of(
        table({"characters": 1, "category": "\ud800" + "x" * 99}, {"characters": 1, "category": 3})
    )["mixes"]["category"]
    assert broken == {"?" + "x" * 59: 1, "unstated": 1}, "invalid values are counted, and can be written"


def test_agreement_is_between_labelers_who_ranked_the_same_responses() -> None:
    def ranked(item: int, labeler: object, ranks: str | None) -> dict[str, Any]:
        return {"characters": 1, "item": item, "labeler": labeler, "ranked": ranks}

    rows = table(
        ranked(1, "ann", "1 2 3"),
        ranked(1, "bob", "1 3 2"),
        ranked(2, "ann", "1 2"),
        ranked(3, "ann", None),
        ranked(3, 4, "1 2"),
    )
    assert profile_of(rows)["agreement"] == {"points": 4.0, "pairs": 6}
