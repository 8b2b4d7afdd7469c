"""`python -m alignloop lineage`: show where a model came from, or what was made from a hash."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from alignloop.lineage.graph import LineageError, load_graph, resolve_hash
from alignloop.lineage.tree import render_ancestors, render_descendants
from alignloop.tracking import registry


def command(arguments: Sequence[str]) -> int:
    """Run `lineage MODEL[@alias|/version]` or `lineage --used-by HASH`."""
    options, root = _parser().parse_args(arguments), Path.cwd()
    if not (root / "dvc.yaml").is_file():  # checked first: MLflow would create a store here
        raise LineageError(f"{root}: no dvc.yaml here; run from the root of a clone")
    graph = load_graph(root)
    if options.used_by is not None:
        lines = render_descendants(graph, *resolve_hash(graph, options.used_by))
    else:
        outputs = (pair for execution in graph.executions for pair in execution.outputs.items())
        at_path = next((pair for pair in outputs if pair[0] == options.model), None)
        if at_path is None:
            version = registry.find(root, options.model)
            at_path = version.path, version.hash
        lines = render_ancestors(graph, *at_path)
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m alignloop lineage",
        description="Show where a model came from, or what was made from a hash.",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "model",
        nargs="?",
        help="NAME, NAME@alias or NAME/version, as registered; or a path such as models/sft",
    )
    target.add_argument(
        "--used-by",
        metavar="HASH",
        help="everything made from these bytes; the first characters of the hash suffice",
    )
    return parser
