"""The plan of docs/scale.md for the data stages, tried with Ray Data on one node.

    PYTHON -m benchmarks.ray_data FOLDER --size 20000

with an interpreter that has Ray (`pip install "ray[data]"`) and this project's packages. The rankings of
`benchmarks.data` are parsed (`parse_piece`), their features extracted (`extract_features`), the first record
of each prompt and the near-duplicates found: once by this project's workers, once by Ray Data with the same
functions in `map_batches`, and each comparison of all records as a shuffle of hashes and numbers. Prints
whether all results are equal, and wall time and peak memory (PSS of all processes) of both.
"""

import argparse
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alignloop.data import record_files
from alignloop.data.formats import own_records
from alignloop.data.formats.parsed_rows import parse_piece
from alignloop.data.preparation.near_duplicates import FACTOR, SLOTS, NearDuplicates, band_width
from alignloop.data.preparation.record_features import FeatureOptions, RecordFeatures, extract_features
from alignloop.data.record_files import Piece
from alignloop.data.workers import Workers
from alignloop.records import Origin, Ranking
from benchmarks.data import draw

CORES = 2
THRESHOLD = 0.9  # near_duplicate_similarity of configs/files.yaml
PARTS = 8  # groups of a shuffle: a call for each hash would cost more than the work
SHIFT = 20  # bits of a record's number that are its line
OPTIONS = FeatureOptions(
    kind=Ranking,
    languages=True,
    max_characters=4000,
    valid=0.1,
    test=0.1,
    near=True,
    beginning=None,
    whole=False,
)
Columns = dict[str, np.ndarray[Any, Any]]


class Found(NamedTuple):
    """What is known of all records, in their order."""

    lines: str  # SHA-256 of the records as they will be written
    splits: list[int]
    first: list[int]  # the first record with the same prompt
    groups: list[int]  # the first record of its group of near-duplicates


def features_of(piece: Piece) -> RecordFeatures:
    """Parse a piece of the source, and extract the features of its records."""
    read = own_records.OWN_RECORDS.read_piece
    assert read
    rows = parse_piece(read, Origin(licence="CC0-1.0"), None, piece)
    lines = [row.record.text.encode() for row in rows if row.record]
    return extract_features(OPTIONS, Piece(piece.path, 1, lines))


def ours(source: Path) -> Found:
    """As the stages do it: workers for the pieces, one process for what compares all records."""
    text, splits, prompts, near = hashlib.sha256(), bytearray(), list[int](), NearDuplicates(THRESHOLD)
    with Workers(CORES) as workers:
        for part in workers.map(features_of, record_files.file_pieces(source)):
            text.update("".join(part.lines).encode())
            splits += part.splits
            prompts += part.prompts
            assert part.prompt_sketches
            near.add(part.prompt_sketches)
    seen: dict[int, int] = {}
    first = [seen.setdefault(prompt, number) for number, prompt in enumerate(prompts)]
    return Found(text.hexdigest(), list(splits), first, near.groups().tolist())


def batch_features(batch: Columns) -> Columns:
    """`features_of` for `map_batches`: a piece in, its records out, numbered in the order of the pieces."""
    [place], path, [first], [lines] = (
        batch["place"],
        Path(str(batch["path"][0])),
        batch["first"],
        batch["lines"],
    )
    part = features_of(Piece(path, int(first), [bytes(line) for line in lines]))
    assert part.prompt_sketches
    return {
        "number": (int(place) << SHIFT) + np.arange(len(part.lines)),
        "line": np.array(part.lines, dtype=object),
        "split": np.frombuffer(part.splits, np.uint8).astype(np.int64),
        "prompt": np.array(part.prompts, np.uint64).view(np.int64),
        "signature": part.prompt_sketches.signatures,
    }


def prompt_keys(batch: Columns) -> Columns:
    """Hash and number of each record, with the group that it is shuffled to."""
    return {"group": batch["prompt"] % PARTS, "key": batch["prompt"], "number": batch["number"]}


def band_keys(batch: Columns) -> Columns:
    """Hash and number of each record in each band of its signature, with the group it is shuffled to."""
    signatures, width = np.stack(list(batch["signature"])).astype(np.uint64), band_width(THRESHOLD)
    keys: list[Any] = []
    for start in range(0, SLOTS, width):
        buckets = np.full(len(signatures), start, np.uint64)
        for slot in range(start, start + width):
            buckets = buckets * FACTOR + signatures[:, slot]
        keys.append(buckets.view(np.int64))
    key = np.concatenate(keys)
    return {"group": key % PARTS, "key": key, "number": np.tile(batch["number"], len(keys))}


def firsts(group: Columns) -> Columns:
    """The pairs (first record with a key, another one) of a group."""
    order = np.lexsort((group["number"], group["key"]))
    keys, numbers = group["key"][order], group["number"][order]
    _, starts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    pairs = np.stack([numbers[starts[inverse]], numbers], axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    return {"first": pairs[:, 0], "other": pairs[:, 1]}


def with_ray(source: Path) -> Found:
    """The same by Ray Data."""
    import ray  # pyright: ignore[reportMissingImports]  in an environment of its own

    pieces = [
        {"place": place, "path": str(piece.path), "first": piece.first, "lines": piece.lines}
        for place, piece in enumerate(record_files.file_pieces(source))
    ]
    data = ray.data.from_items(pieces, override_num_blocks=len(pieces))
    records = data.map_batches(batch_features, batch_size=1, batch_format="numpy").materialize()
    rows = sorted(
        records.select_columns(["number", "line", "split"]).take_all(), key=lambda row: row["number"]
    )
    place_of = {int(row["number"]): place for place, row in enumerate(rows)}

    def pairs(keys: Callable[[Columns], Columns]) -> list[tuple[int, int]]:
        groups = records.map_batches(keys, batch_size=None, batch_format="numpy").groupby(
            "group", num_partitions=CORES
        )
        rows = groups.map_groups(firsts, batch_format="numpy").take_all()
        return [(place_of[row["first"]], place_of[row["other"]]) for row in rows]

    first = list(range(len(rows)))
    for one, other in pairs(prompt_keys):
        first[other] = one
    signatures = {
        row["number"]: row["signature"] for row in records.select_columns(["number", "signature"]).take_all()
    }
    table = np.stack([signatures[row["number"]] for row in rows]).astype(np.uint16)
    text = hashlib.sha256("".join(row["line"] for row in rows).encode()).hexdigest()
    return Found(text, [int(row["split"]) for row in rows], first, _groups(table, pairs(band_keys)))


def _groups(signatures: Any, candidates: list[tuple[int, int]]) -> list[int]:
    """The first record of each record's group: pairs that are similar enough are linked."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array(sorted(set(candidates)), np.int64).reshape(-1, 2)
    same = (signatures[pairs[:, 0]] == signatures[pairs[:, 1]]).mean(axis=1) >= THRESHOLD
    pairs, count = pairs[same], len(signatures)
    graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return first[labels].tolist()


def tree_bytes() -> int:
    """The memory of this process and of all that it has started: PSS, shared pages once."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family, more = {os.getpid()}, True
    while more:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
    total = 0
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total


def measured(work: Callable[[], Found]) -> tuple[Found, float, int]:
    """The result, the seconds, and the peak memory beyond what was there before."""
    before, peak, done = tree_bytes(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            peak[0] = max(peak[0], tree_bytes() - before)

    watcher, began = threading.Thread(target=watch), time.perf_counter()
    watcher.start()
    found = work()
    took = time.perf_counter() - began
    done.set()
    watcher.join()
    return found, took, peak[0]


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.ray_data", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the records are written")
    parser.add_argument("--size", type=int, default=20_000, help="rankings: %(default)s")
    options = parser.parse_args()
    sources = options.folder / f"sources-{options.size}"
    if not sources.exists():
        draw(options.size, sources, seed=1)
    source = sources / "rankings.jsonl"
    mine, seconds, bytes = measured(partial(ours, source))
    print(f"ours  {seconds:7.1f} s  {bytes / 2**20:7,.0f} MiB")
    import ray  # pyright: ignore[reportMissingImports]

    began = time.perf_counter()
    ray.init(num_cpus=CORES, object_store_memory=2**30, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    print(f"ray   {time.perf_counter() - began:7.1f} s to start")
    theirs, seconds, bytes = measured(partial(with_ray, source))
    print(f"ray   {seconds:7.1f} s  {bytes / 2**20:7,.0f} MiB")
    ray.shutdown()
    for name, one, other in zip(Found._fields, mine, theirs, strict=True):
        print(f"{name:7} {'equal' if one == other else 'DIFFER'}")
    repeats = sum(first != number for number, first in enumerate(mine.first))
    near = sum(first != number for number, first in enumerate(mine.groups))
    print(f"{len(mine.first):,} records, {repeats:,} repeat a prompt, {near:,} are near an earlier one")
    return 0 if mine == theirs else 1


if __name__ == "__main__":
    sys.exit(main())
