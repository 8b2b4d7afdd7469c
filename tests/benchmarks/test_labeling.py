"""The labeling load test at its smallest, with a server killed by SIGKILL."""

from pathlib import Path

from alignloop.labeling.database import DATABASE_FILE
from benchmarks import labeling


def test_every_acknowledged_ranking_is_stored_once_and_as_sent_after_the_server_was_killed(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / DATABASE_FILE}"
    given = labeling._parser().parse_args(
        ["--labelers", "4", "--seconds", "4", "--think", "0.02", "--items", "100"]
    )
    tally, _, _ = labeling.measure(tmp_path, url, given, gold_share=0.3, repeated_share=0.2)
    answers, items = labeling.check(url, given.overlap, tally)
    assert tally.failed == {}
    assert tally.retried > 0, "nobody met the killed server"
    assert len(tally.acknowledged) > 0
    assert answers >= len(tally.acknowledged)
    assert items <= given.items
