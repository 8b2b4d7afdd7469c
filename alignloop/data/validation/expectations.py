"""Rules for records, run by Great Expectations: schemas from records.py, and what a set must hold to be learned from.

This file and `rules/` alone know Great Expectations (its import takes seconds). Everything happens in memory, but the data docs.
"""

# pyright: reportPrivateImportUsage=false
# (the library marks none of its expectations as exported)

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import great_expectations.expectations.core as expect
import pandas as pd
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.execution_engine import pandas_execution_engine
from great_expectations.expectations.expectation import Expectation

from alignloop.data.validation import data_docs
from alignloop.data.validation.record_tables import last_turn, schema_of
from alignloop.data.validation.rules.alternating_roles import ExpectColumnValuesToTakeTurns
from alignloop.data.validation.rules.one_split import ExpectColumnValuesToNameOneSplit
from alignloop.data.validation.rules.weak_order import ExpectColumnValuesToBeWeakOrders
from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.params.validate import Validate
from alignloop.records import Document, Ranking, Record

pandas_execution_engine.HASH_THRESHOLD = (
    0  # no fingerprint of a table: a quarter of a check's time, and DVC knows its files' hashes
)
SHOWN = 5  # lines named per file and rule
PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


class ValidationFailed(AlignloopError):
    """Data breaks rules; the message names file, lines, field, rule and count of each breach, and the remedy."""


@dataclass(frozen=True)
class Rule:
    """One expectation of a field, in words for people, and what to do about a breach."""

    field: str
    words: str
    remedy: str
    expectation: Expectation


@dataclass(frozen=True)
class Check:
    """A table, the rules for it, and what to know about it."""

    name: str
    rows: pd.DataFrame
    rules: list[Rule]
    notes: tuple[str, ...] = ()  # Markdown, shown with the rules


@dataclass(frozen=True)
class Breach:
    """Where in one file a rule is broken, and what stands in the first of these lines."""

    rule: Rule
    file: str
    lines: tuple[int, ...]
    rows: int
    seen: str | None

    def __str__(self) -> str:
        lines = ", ".join(map(str, self.lines[:SHOWN])) + ", …" * (len(self.lines) > SHOWN)
        seen = "" if self.seen is None else f" (line {self.lines[0]}: {self.seen[:120]})"
        share = f"{len(self.lines)} of {self.rows} rows"
        return f"{self.file}:{lines}: {self.rule.field}: breaks the rule '{self.rule.words}' in {share}{seen}; {self.rule.remedy}"


def schema_rules(kind: type[Record]) -> Iterator[Rule]:
    """A record type's own rules: each field is there, of its type, in its bounds; nothing else stands in a line."""
    remedy = f"correct the lines (data/README.md shows a {kind.__name__})"
    for name, schema in schema_of(kind).items():
        if (wanted := PYTHON.get(schema.get("type", ""))) is None:
            yield Rule(name, "fits its schema", remedy, _null(f"schema of {name}"))
            continue
        yield Rule(name, "is there", remedy, expect.ExpectColumnValuesToNotBeNull(column=name))
        typed = expect.ExpectColumnValuesToBeInTypeList(column=name, type_list=[wanted])
        yield Rule(name, f"is a {schema['type']}", remedy, typed)
        if values := schema.get("enum"):
            yield Rule(
                name,
                f"is one of {', '.join(values)}",
                remedy,
                expect.ExpectColumnValuesToBeInSet(column=name, value_set=values),
            )
        if "maxLength" in schema:
            low, high = schema["minLength"], schema["maxLength"]
            bounded = expect.ExpectColumnValueLengthsToBeBetween(column=name, min_value=low, max_value=high)
            yield Rule(name, f"is {low} to {high} characters long", remedy, bounded)
    yield Rule("unknown fields", "are none", f"remove or rename the field; {remedy}", _null("unknown fields"))
    yield Rule(
        "id",
        "stands once",
        "give each record an id of its own",
        expect.ExpectColumnValuesToBeUnique(column="id"),
    )
    said = "text" if kind is Document else "messages"
    yield Rule(said, "is not empty", "write the turn or remove the record", _null("empty turns"))
    last = f" and the {ends}'s last" if (ends := last_turn(kind)) else ""
    turns = ExpectColumnValuesToTakeTurns(column="roles", last=last_turn(kind))
    yield Rule("messages", f"has roles that alternate, the user's first{last}", remedy, turns)


def content_rules(kind: type[Record], bounds: Validate) -> Iterator[Rule]:
    """Who judged, what a ranking is, and how much may be said twice."""
    if "labeler" in kind.model_fields:
        known = expect.ExpectColumnValuesToMatchRegexList(
            column="labeler", regex_list=[translate(name) for name in bounds.labelers]
        )
        yield Rule(
            "labeler",
            "is known",
            "add the labeler to validate.labelers in params.yaml, if it is one of yours",
            known,
        )
    if kind is Ranking:
        order = ExpectColumnValuesToBeWeakOrders(column="order")
        yield Rule(
            "ranks",
            "is a weak order of the responses",
            "rank every response, 1 is the best, ties share a rank",
            order,
        )
        k = expect.ExpectColumnValuesToBeBetween(column="k", min_value=2, max_value=bounds.max_responses)
        yield Rule(
            "responses",
            f"holds 2 to {bounds.max_responses} answers",
            "remove the record, or set validate.max_responses",
            k,
        )
    share = bounds.max_duplicates
    once = expect.ExpectColumnProportionOfUniqueValuesToBeBetween(
        column="content", min_value=round(1 - share, 9)
    )
    yield Rule(
        "content",
        f"repeats in at most {share:.0%} of the rows",
        "remove repeated records, or raise validate.max_duplicates",
        once,
    )


def learning_rules(kind: type[Record], bounds: Validate) -> Iterator[Rule]:
    """What must hold of the sets that models learn from and are measured on."""
    yield Rule(
        "content",
        "holds no personal data",
        "run the stage `prepare`, which redacts it",
        _null("personal data"),
    )
    if kind is Document:
        return
    fits = expect.ExpectColumnValuesToBeBetween(column="characters", max_value=bounds.max_characters)
    words = f"fits the model's context ({bounds.max_characters} characters)"
    yield Rule(
        "messages",
        words,
        "run the stage `prepare`, which drops longer ones, or raise validate.max_characters",
        fits,
    )
    remedy = "run the stage `prepare`, which splits by user and keeps a prompt in one split"
    yield Rule(
        "prompt",
        "stands in one split",
        remedy,
        ExpectColumnValuesToNameOneSplit(column="splits of the wording"),
    )
    yield Rule(
        "user", "stands in one split", remedy, ExpectColumnValuesToNameOneSplit(column="splits of the owner")
    )


def run(name: str, checks: Sequence[Check], docs: Path) -> Iterator[tuple[Check, list[Breach]]]:
    """Check each table, one after the other, yield what breaks its rules, and leave the data docs (HTML) in `docs`."""
    told = []
    with replacing(docs) as part:
        context = _context(part)
        source = context.data_sources.add_pandas(name)
        for check in checks:
            for rule in check.rules:
                rule.expectation.description = f"{rule.field} {rule.words}"
            rules = [rule.expectation for rule in check.rules]
            suite = context.suites.add(
                gx.ExpectationSuite(name=check.name, expectations=rules, notes=list(check.notes) or None)
            )
            whole = source.add_dataframe_asset(check.name).add_batch_definition_whole_dataframe("all")
            definition = context.validation_definitions.add(
                gx.ValidationDefinition(name=check.name, data=whole, suite=suite)
            )
            form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["file", "line"]}
            checkpoint = context.checkpoints.add(
                gx.Checkpoint(name=check.name, validation_definitions=[definition], result_format=form)
            )
            outcome = checkpoint.run(batch_parameters={"dataframe": check.rows})
            results = {
                each.expectation_config.id: each
                for ran in outcome.run_results.values()
                for each in ran.results
            }
            failed = [
                (rule, results[rule.expectation.id])
                for rule in check.rules
                if not results[rule.expectation.id].success
            ]
            told.append((check.name, len(check.rows), len(check.rules), len(failed)))
            yield check, [breach for rule, result in failed for breach in _breaches(rule, result, check.rows)]
        context.build_data_docs()
        data_docs.settle(part)
        data_docs.index(part, name, told)


def _context(docs: Path) -> Any:
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    site = {
        "class_name": "SiteBuilder",
        "store_backend": store,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"docs": site},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _null(column: str) -> Expectation:
    return expect.ExpectColumnValuesToBeNull(column=column)


def _breaches(rule: Rule, result: Any, rows: pd.DataFrame) -> Iterator[Breach]:
    """One breach per file, in the files' order."""
    if "unexpected_index_list" in result.result:
        column = result.expectation_config.kwargs["column"]
        places = [
            (each["file"], int(each["line"]), each[column]) for each in result.result["unexpected_index_list"]
        ]
    elif "observed_value" in result.result:  # a share of the whole table: the rows that repeat an earlier one
        again = rows[rows["content"].duplicated()]
        places = [(file, int(line), None) for file, line in zip(again["file"], again["line"], strict=True)]
    else:
        raise ValidationFailed(
            f"{rule.field}: the rule '{rule.words}' could not be checked: {result.exception_info}"
        )
    for file in dict.fromkeys(file for file, _, _ in places):
        lines = tuple(line for each, line, _ in places if each == file)
        seen = next(value for each, _, value in places if each == file)
        yield Breach(
            rule, file, lines, int((rows["file"] == file).sum()), None if seen is None else str(seen)
        )
