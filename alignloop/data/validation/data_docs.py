"""Great Expectations' pages to be read without a network: what they would fetch from others goes, a style of their own comes in.

Their index is a table that scripts from elsewhere fill; ours stands in its place.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from alignloop.files import replacing

FETCHED = re.compile(
    r"<link\b[^>]*https?://[^>]*>|<script\b[^>]*\bsrc=[\"']https?://[^>]*>\s*</script>|<img\b[^>]*https?://[^>]*>"
    r"|background: url\([\"']https?://[^;]*;|<footer\b.*?</footer>",
    re.IGNORECASE | re.DOTALL,
)
STYLE = """<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 76rem; margin: 1.5rem auto; padding: 0 1.5rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100%; }
td, th { border: 1px solid #d0d7de; padding: .35rem .7rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #f0f3f6; }
h1, h2, h3, h4, h5, h6 { font-size: 1.15rem; margin: 1.2rem 0 .3rem; }
a { color: #0550ae; }
img { max-width: 100%; }
.text-success { color: #116329; } .text-danger { color: #a40e26; font-weight: bold; }
.fa-check-circle::before { content: "✓ met"; } .fa-times::before { content: "✗ broken"; }
.fa-exclamation-triangle::before { content: "! failed"; }
.nav, .navbar ul { columns: 3; }
.card:has([data-toggle="buttons"]), [data-toggle="collapse"], .collapse { display: none; } /* they need what was fetched */
</style></head>"""


def settle(folder: Path) -> None:
    """Rewrite all pages of a folder."""
    for page in sorted(folder.rglob("*.html")):
        text = FETCHED.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", STYLE, 1), encoding="utf-8")


def results(folder: Path) -> dict[str, Path]:
    """The page of each set that was checked, by the set's name."""
    return {page.relative_to(folder).parts[1]: page for page in sorted(folder.glob("validations/**/*.html"))}


def index(folder: Path, gate: str, sets: Iterable[tuple[str, int, int, int]]) -> None:
    """Write the page that leads to all others: each set with its rows, its rules, and how many of these are broken."""
    found = results(folder)
    rows = []
    for name, count, rules, broken in sets:
        verdict = (
            f'<span class="text-danger">✗ {broken} broken</span>'
            if broken
            else '<span class="text-success">✓ all met</span>'
        )
        links = (
            (found[name].relative_to(folder).as_posix(), "what was seen"),
            (f"expectations/{name}.html", "the rules, and the sources"),
        )
        leads = " · ".join(f'<a href="{escape(address)}">{words}</a>' for address, words in links)
        rows.append([escape(name), f"{count:,}", f"{rules:,}", verdict, leads])
    title = f"Data Docs: the gate on {escape(gate)}"
    body = f"<h1>{title}</h1>{table(['set', 'rows', 'rules', 'verdict', 'pages'], rows)}"
    write(folder / "index.html", title, body)


def write(page: Path, title: str, body: str) -> None:
    """A page of our own in the same style; `title` and `body` are HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    with replacing(page) as part:
        part.write_text(
            f'<!doctype html>\n<html lang="en"><head>{head}{STYLE}\n<body>\n{body}\n</body></html>\n',
            encoding="utf-8",
        )


def add(page: Path, body: str) -> None:
    """Put more at the end of a page of our own."""
    text = page.read_text(encoding="utf-8").replace("\n</body>", f"\n{body}\n</body>")
    with replacing(page) as part:
        part.write_text(text, encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are HTML."""
    lines = [[f"<th>{cell}</th>" for cell in head], *([f"<td>{cell}</td>" for cell in row] for row in rows)]
    return "<table>" + "".join(f"<tr>{''.join(line)}</tr>" for line in lines) + "</table>"
