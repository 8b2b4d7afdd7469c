"""Binary labels come in where there are some, and the built-in environment with files."""

from pathlib import Path

from alignloop.data.record_files import read
from alignloop.records import BinaryLabel, Prompt
from tests.stages.test_ingest import SMALL, drop, params, root, run

__all__ = ["root"]  # the fixture
LABEL = {
    "id": "l1",
    "prompt": {"id": "p", "messages": [{"role": "user", "content": "Why?"}], "user": "u", "source": "s"},
    "response": "So.",
    "good": False,
    "labeler": "labeler-u",
    "by": "person",
    "policy": "m/1",
    "round": "chat",
}


def test_the_built_in_environment_and_files_together_and_labels_where_there_are_some(root: Path):
    world = params().ingest.world.model_dump() | SMALL
    drop(root, "labels.jsonl", LABEL, {**LABEL, "id": "l2", "good": True})
    counts = run(root, source="both", world=world)
    assert next(iter(counts["sources"])) == "world (world)"
    assert counts["total"]["labels"] == 2
    assert counts["sources"]["labels.jsonl (own)"]["prompts"] == 1
    assert "labels" not in counts["sources"]["world (world)"]
    [first, second] = read(root / "raw" / "labels.jsonl", BinaryLabel)
    assert (first.good, second.good, first.origin and first.origin.line) == (False, True, 1)
    keys = [prompt.key is not None for prompt in read(root / "raw" / "prompts.jsonl", Prompt)]
    assert (keys.count(True), keys.count(False)) == (40, 3)
    (root / "sources" / "labels.jsonl").unlink()
    run(root, source="both", world=world)
    assert not (root / "raw" / "labels.jsonl").exists()
