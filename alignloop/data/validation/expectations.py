"""Validation rules for records, run by Great Expectations: the schemas, and rules for training sets.

Only this file and `rules/` import Great Expectations, which takes seconds. Everything is in memory except
the data docs, which are HTML pages.
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
from alignloop.data.validation.rules.alternating_roles import ExpectColumnValuesToAlternateRoles
from alignloop.data.validation.rules.one_split import ExpectColumnValuesToNameOneSplit
from alignloop.data.validation.rules.shown_values import (
    ExpectColumnToHoldNoFaults,
    ExpectShareOfDistinctValuesToBeBetween,
)
from alignloop.data.validation.rules.weak_order import ExpectColumnValuesToBeWeakOrders
from alignloop.errors import AlignloopError
from alignloop.files import replacing
from alignloop.params.validate import Validate
from alignloop.records import Document, Ranking, Record

# no fingerprints of tables: they take a quarter of the time, and DVC hashes the files anyway
pandas_execution_engine.HASH_THRESHOLD = 0
SHOWN = 5  # line numbers shown per file and rule
PYTHON = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


class ValidationFailed(AlignloopError):
    """Data violates rules; the message names the place, rule, count and remedy of each violation."""


@dataclass(frozen=True)
class Rule:
    """An expectation of a field, with a description for people and the remedy of a violation."""

    field: str
    description: str
    remedy: str
    expectation: Expectation


@dataclass(frozen=True)
class Check:
    """A table of records, the rules for it, and notes on it."""

    name: str
    rows: pd.DataFrame
    rules: list[Rule]
    notes: tuple[str, ...] = ()  # Markdown, shown beside the rules


@dataclass(frozen=True)
class Violation:
    """The lines of one file that violate a rule, and the value in the first of them."""

    rule: Rule
    file: str
    lines: tuple[int, ...]
    rows: int
    example: str | None

    def __str__(self) -> str:
        lines = ", ".join(map(str, self.lines[:SHOWN])) + ", …" * (len(self.lines) > SHOWN)
        example = "" if self.example is None else f" (line {self.lines[0]}: {self.example[:120]})"
        share = f"{len(self.lines)} of {self.rows} rows"
        fault = f"breaks the rule '{self.rule.description}' in {share}{example}"
        return f"{self.file}:{lines}: {self.rule.field}: {fault}; {self.rule.remedy}"


def schema_rules(kind: type[Record]) -> Iterator[Rule]:
    """A record type's schema as rules: each field is present, of its type and in bounds; no other exists."""
    remedy = f"correct the lines (data/README.md shows a {kind.__name__})"
    for name, schema in schema_of(kind).items():
        if (python := PYTHON.get(schema.get("type", ""))) is None:
            yield Rule(name, "fits its schema", remedy, _null(f"schema of {name}"))
            continue
        yield Rule(name, "is present", remedy, expect.ExpectColumnValuesToNotBeNull(column=name))
        typed = expect.ExpectColumnValuesToBeInTypeList(column=name, type_list=[python])
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
    yield Rule(
        "unknown fields", "do not exist", f"remove or rename the field; {remedy}", _null("unknown fields")
    )
    yield Rule(
        "id",
        "is unique",
        "give each record an id of its own",
        expect.ExpectColumnValuesToBeUnique(column="id"),
    )
    content = "text" if kind is Document else "messages"
    yield Rule(content, "is not empty", "write the turn or remove the record", _null("empty turns"))
    last = f" and the {role}'s last" if (role := last_turn(kind)) else ""
    turns = ExpectColumnValuesToAlternateRoles(column="roles", last=last_turn(kind))
    yield Rule("messages", f"has roles that alternate, the user's first{last}", remedy, turns)


def content_rules(kind: type[Record], bounds: Validate) -> Iterator[Rule]:
    """Rules for labelers, for rankings, and for the share of duplicates."""
    if "labeler" in kind.model_fields:
        listed = expect.ExpectColumnValuesToMatchRegexList(
            column="labeler", regex_list=[translate(name) for name in bounds.labelers]
        )
        yield Rule(
            "labeler",
            "is known",
            "add the labeler to validate.labelers in params.yaml, if it is one of yours",
            listed,
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
            f"holds 2 to {bounds.max_responses} responses",
            "remove the record, or set validate.max_responses",
            k,
        )
    share = bounds.max_duplicates
    least = round(1 - share, 9)
    once = ExpectShareOfDistinctValuesToBeBetween(column="content", min_value=least)
    yield Rule(
        "content",
        f"has at least {100 * least:g}% distinct values",
        "remove repeated records, or raise validate.max_duplicates",
        once,
    )


def training_rules(kind: type[Record], bounds: Validate) -> Iterator[Rule]:
    """Rules for the sets that models are trained and evaluated on."""
    yield Rule(
        "content",
        "holds no personal data",
        "run the stage `prepare`, which redacts it",
        _null("personal data"),
    )
    if kind is Document:
        return
    fits = expect.ExpectColumnValuesToBeBetween(column="characters", max_value=bounds.max_characters)
    yield Rule(
        "messages",
        f"fits the model's context ({bounds.max_characters} characters)",
        "run the stage `prepare`, which drops longer ones, or raise validate.max_characters",
        fits,
    )
    remedy = "run the stage `prepare`, which splits by user and keeps a prompt in one split"
    yield Rule(
        "prompt",
        "is in one split",
        remedy,
        ExpectColumnValuesToNameOneSplit(column="splits of the wording"),
    )
    yield Rule(
        "user", "is in one split", remedy, ExpectColumnValuesToNameOneSplit(column="splits of the owner")
    )


def run_checks(name: str, checks: Sequence[Check], docs: Path) -> Iterator[tuple[Check, list[Violation]]]:
    """Check the tables one by one, yield each with its violations, and write the data docs to `docs`."""
    summaries = []
    with replacing(docs) as part:
        context = _context(part)
        source = context.data_sources.add_pandas(name)
        for check in checks:
            for rule in check.rules:
                rule.expectation.description = f"{rule.field} {rule.description}"
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
                for validation in outcome.run_results.values()
                for each in validation.results
            }
            failed = [
                (rule, results[rule.expectation.id])
                for rule in check.rules
                if not results[rule.expectation.id].success
            ]
            summaries.append((check.name, len(check.rows), len(check.rules), len(failed)))
            yield (
                check,
                [found for rule, result in failed for found in _violations(rule, result, check.rows)],
            )
        context.build_data_docs()
        data_docs.make_self_contained(part)
        data_docs.write_index(part, name, summaries)


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
    return ExpectColumnToHoldNoFaults(column=column)


def _violations(rule: Rule, result: Any, rows: pd.DataFrame) -> Iterator[Violation]:
    """The violations of a rule, one per file, in the order of the files."""
    if "unexpected_index_list" in result.result:
        column = result.expectation_config.kwargs["column"]
        places = [
            (each["file"], int(each["line"]), each[column]) for each in result.result["unexpected_index_list"]
        ]
    elif "observed_value" in result.result:  # a share of the whole table: show the repeated rows
        repeated = rows[rows["content"].duplicated()]
        places = [
            (file, int(line), None) for file, line in zip(repeated["file"], repeated["line"], strict=True)
        ]
    else:
        raise ValidationFailed(
            f"{rule.field}: the rule '{rule.description}' could not be checked: {result.exception_info}"
        )
    for file in dict.fromkeys(file for file, _, _ in places):
        lines = tuple(line for each, line, _ in places if each == file)
        value = next(value for each, _, value in places if each == file)
        count = int((rows["file"] == file).sum())
        yield Violation(rule, file, lines, count, None if value is None else str(value))
