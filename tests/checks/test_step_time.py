"""Measuring passes keeps to its budget, and a line through two measurements gives the time of more rows."""

import pytest

from alignloop.checks import step_time
from alignloop.checks.processor_time import Spent
from alignloop.checks.step_time import Line, Measuring, Rates, check_load


class Passes:
    """Passes of a time that is known: `fixed` seconds and `row` for each row of 10 tokens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fixed: float, row: float, waits: float = 1.0) -> None:
        self.rows: list[int] = []
        self.cpu = 0.0

        def spent(work: object) -> Spent:
            assert callable(work)
            work()
            took = fixed + row * self.rows[-1]
            self.cpu += took
            return Spent(waits * took, took, took)

        monkeypatch.setattr(step_time, "spent", spent)

    def __call__(self, rows: int) -> int:
        self.rows.append(rows)
        return 10 * rows


def test_a_large_checkpoint_is_measured_on_few_rows_within_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = Passes(monkeypatch, fixed=0.7, row=0.8)
    line = Measuring(10.0).line(passes, 256, share=0.5)
    assert passes.rows == [1, 2], "3.8 seconds; another measurement of twice as many rows is beyond 5"
    assert passes.cpu <= 5.0
    assert (line.fixed, line.row) == (pytest.approx(0.7), pytest.approx(0.8))
    assert line.rate(16) == pytest.approx(160 / (0.7 + 16 * 0.8))


def test_a_small_one_is_measured_on_all_rows_after_it_has_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(monkeypatch, fixed=0.001, row=0.001)
    line = Measuring(10.0).line(passes, 256, share=0.5)
    assert passes.rows == [1, 1, 8, 64, 256]
    assert line.rate(6) == line.rate(256) == pytest.approx(2560 / 0.257), "what was measured counts"


def test_one_row_beyond_the_budget_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(monkeypatch, fixed=3.0, row=6.0)
    line = Measuring(10.0).line(passes, 256, share=0.5)
    assert passes.rows == [1]
    assert line == Line(0.0, 9.0, 10.0, measured=1)


def test_how_much_slower_it_is_now_is_added_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    measuring = Measuring(10.0)
    measuring.line(Passes(monkeypatch, fixed=0.5, row=0.5, waits=4.0), 4, share=0.2)
    assert measuring.slowdown == pytest.approx(4.0)
    [note] = check_load(Rates(1, 1, 1, 1, slowdown=4.0))
    assert note.severity == "note"
    assert "what was measured took 4.0 times as long as on idle cores" in note.message
    assert not check_load(Rates(1, 1, 1, 1, slowdown=1.2))
