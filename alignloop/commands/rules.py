"""`python -m alignloop rules`: check and list the rules; measure how often each is right, and how fast it is.

`measure FILE` reads JSON Lines of {"text": …, "side": "prompt" or "response", "hits": [rules it should hit]}.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alignloop.rules import measuring
from alignloop.rules.rule_file import FILE, load_rules


def command(arguments: Sequence[str]) -> int:
    """Run the verb of the command line."""
    options = _parser().parse_args(arguments)
    rules = load_rules(options.rules)
    if not rules.rules:
        print(f"{options.rules} has no rules", file=sys.stderr)
        return 0
    if options.verb == "measure":
        print(measuring.render(measuring.measure(rules, options.file)))
        return 0
    for name, rule in rules.rules.items():
        scope = f", {' '.join(rule.languages)} only" if rule.languages else ""
        print(f"{name:24} {rule.version}  {rule.action}: {rule.kind} in {rule.checks}{scope}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m alignloop rules", description=__doc__)
    parser.add_argument("--rules", type=Path, default=FILE, help=f"the file of rules (default: {FILE})")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="check the file and list its rules with their versions")
    measure = verbs.add_parser("measure", help="precision, recall and latency of each rule")
    measure.add_argument("file", type=Path, help="labelled texts, JSON Lines")
    return parser
