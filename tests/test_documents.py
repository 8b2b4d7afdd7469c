"""What the documents say of the project is so: links lead somewhere, commands exist, the tree is the tree."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignloop.__main__ import COMMANDS
from alignloop.data.formats import FORMATS
from alignloop.params import parse

ROOT = Path(__file__).parents[1]
LISTED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
FILES = [Path(name) for name in LISTED.splitlines()]
PAGES = [file for file in FILES if file.suffix == ".md"]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text(page: Path) -> str:
    return (ROOT / page).read_text()


def known(key: str) -> bool:
    """Whether params.yaml has this key."""
    values: Any = yaml.safe_load(text(Path("params.yaml")))
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text(page))):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        there = (ROOT / page.parent / name) if name else ROOT / page
        if not there.exists() or (anchor and anchor not in anchors(there.resolve().relative_to(ROOT))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_exists_and_every_key_it_sets_is_one(page: Path) -> None:
    said = text(page)
    targets = set(re.findall(r"^([a-z][a-z -]*):", text(Path("Makefile")), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", said, re.MULTILINE)) <= {
        name for target in targets for name in target.split()
    }
    modules = set(re.findall(r"python -m ((?:alignloop|flows|tasks|benchmarks)[\w.]*)", said))
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []
    functions = {file.stem for file in FILES if file.parts[:2] == ("alignloop", "stages")}
    assert set(re.findall(r"python -m alignloop ([a-z][\w-]*)", said)) <= {*COMMANDS, *functions}
    if page.stem != "experiments":  # it tells of keys as they were
        keys = re.findall(r"(?:--set|-S) ([a-z][\w.]*)=", said)
        assert [key for key in keys if not key.startswith("rounds.") and not known(key)] == []
    assert [
        path for path in re.findall(r"python (benchmarks/[\w/]+\.py)", said) if not (ROOT / path).exists()
    ] == []


def test_a_number_of_the_experiments_stands_once_and_what_is_cited_exists() -> None:
    experiments = text(Path("docs/experiments.md"))
    entries = re.findall(r"^### (\d+)\. [^\n]*\n(.*?)(?=^##|\Z)", experiments, re.MULTILINE | re.DOTALL)
    numbers = [number for number, _ in entries]
    assert sorted(numbers, key=int) == [str(number) for number in range(1, len(numbers) + 1)]
    assert re.findall(r"^\| \[(\d+)\]", experiments, re.MULTILINE) == sorted(numbers, key=int)  # the index
    for number, entry in entries:
        said = re.findall(r"^\*\*(\w+)\.\*\*", entry, re.MULTILINE)
        assert said == ["Question", "Change", "Result", "Verdict"], f"entry {number} has {said}"
    cited = re.findall(
        r"experiments\.md\)?, (\d+)(?: and (\d+))?", "\n".join(map(text, [*PAGES, Path("params.yaml")]))
    )
    assert {number for pair in cited for number in pair if number} <= set(numbers)
    assert cited


def test_the_tree_names_all_that_a_reader_meets_a_line_each() -> None:
    lines = text(Path("docs/architecture.md")).split("## The tree")[1].split("```")[1].splitlines()
    said = [re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines if line.strip()]
    assert [line for line in said if len(line) != 2 or " " in line[0]] == []
    named = {name.strip("/") for name, _ in said}
    met = {file.parts[0] for file in FILES} | {
        file.parts[1] for file in FILES if file.parts[0] == "alignloop"
    }
    assert {name for name in met if not name.startswith(".")} - named == {"__init__.py"}
    assert named - met == {  # what a run makes
        "models",
        "plots",
        "metrics",
        "dvc.lock",
        "reports",
        ".prefect",
    }


def test_rounds_in_the_documents_are_valid() -> None:
    values: dict[str, Any] = yaml.safe_load(text(Path("params.yaml")))
    for page in ("README.md", "docs/how-to.md"):
        lines = re.findall(r"\br\d+: \{.*?\}", text(Path(page)))
        assert lines
        for line in lines:
            parse(values | {"rounds": values["rounds"] | yaml.safe_load(line)}, page)


def test_the_site_builds_without_a_warning_and_asks_no_other_server(tmp_path: Path) -> None:
    pytest.importorskip("properdocs", reason="properdocs is not installed: pip install -e .[docs]")
    build = [sys.executable, "-m", "properdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.relative_to(tmp_path): page.read_text() for page in tmp_path.rglob("*.html")}
    assert {Path("index.html"), Path("how-to.html"), Path("data.html"), Path("decisions/index.html")} <= {
        *pages
    }
    fetched = r"""<(?:script|img|link)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"' >]+)"""
    assert {name: re.findall(fetched, page) for name, page in pages.items() if re.search(fetched, page)} == {}


def test_the_readme_is_read_in_five_minutes() -> None:
    assert len(text(Path("README.md")).split()) <= 1000


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_tables_fit_a_window(page: Path) -> None:
    lines = enumerate(text(page).splitlines(), 1)
    assert [f"{page}:{number}" for number, line in lines if line.startswith("|") and len(line) > 120] == []


def test_the_readme_counts_the_formats_that_are_recognised() -> None:
    stated = {"sharegpt-pieces"}  # is read only where params.yaml states it
    [count] = re.findall(r"(\d+) formats are\s+recognised", text(Path("README.md")))
    assert int(count) == len(set(FORMATS) - stated)
