"""Makes Great Expectations' data docs readable without a network, and writes their index page.

The library's pages fetch styles and scripts from other hosts: these are removed, and one style is
embedded. Its index is a table that such scripts fill, so an index of our own replaces it.
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
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; }
body { max-width: 76rem; margin: 1.5rem auto; padding: 0 1.5rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100%; }
td, th { border: 1px solid #d0d7de; padding: .35rem .7rem; }
td, th { text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #f0f3f6; }
h1, h2, h3, h4, h5, h6 { font-size: 1.15rem; margin: 1.2rem 0 .3rem; }
a { color: #0550ae; }
img { max-width: 100%; }
.text-success { color: #116329; } .text-danger { color: #a40e26; font-weight: bold; }
.fa-check-circle::before { content: "✓ met"; } .fa-times::before { content: "✗ violated"; }
.fa-exclamation-triangle::before { content: "! failed"; }
.nav, .navbar ul { columns: 3; }
/* these need the scripts that were removed */
.card:has([data-toggle="buttons"]), [data-toggle="collapse"], .collapse { display: none; }
</style></head>"""


def make_self_contained(folder: Path) -> None:
    """Rewrite all pages of a folder so that they load nothing from other hosts."""
    for page in sorted(folder.rglob("*.html")):
        text = FETCHED.sub("", page.read_text(encoding="utf-8"))
        page.write_text(text.replace("</head>", STYLE, 1), encoding="utf-8")


def result_pages(folder: Path) -> dict[str, Path]:
    """The result page of each set that was checked, by the set's name."""
    return {page.relative_to(folder).parts[1]: page for page in sorted(folder.glob("validations/**/*.html"))}


def write_index(folder: Path, gate: str, sets: Iterable[tuple[str, int, int, int]]) -> None:
    """Write the index page, from each set's name and numbers of rows, rules and violated rules."""
    pages = result_pages(folder)
    rows = []
    for name, count, rules, violated in sets:
        verdict = (
            f'<span class="text-danger">✗ {violated} violated</span>'
            if violated
            else '<span class="text-success">✓ all met</span>'
        )
        links = (
            (pages[name].relative_to(folder).as_posix(), "the results"),
            (f"expectations/{name}.html", "the rules and the sources"),
        )
        anchors = " · ".join(f'<a href="{escape(address)}">{text}</a>' for address, text in links)
        rows.append([escape(name), f"{count:,}", f"{rules:,}", verdict, anchors])
    title = f"Data Docs: the gate on {escape(gate)}"
    body = f"<h1>{title}</h1>{table(['set', 'rows', 'rules', 'verdict', 'pages'], rows)}"
    write_page(folder / "index.html", title, body)


def write_page(page: Path, title: str, body: str) -> None:
    """Write a page in the same style; `title` and `body` are HTML."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    with replacing(page) as part:
        part.write_text(
            f'<!doctype html>\n<html lang="en"><head>{head}{STYLE}\n<body>\n{body}\n</body></html>\n',
            encoding="utf-8",
        )


def append_to_page(page: Path, body: str) -> None:
    """Append HTML to the end of a page that `write_page` has written."""
    text = page.read_text(encoding="utf-8").replace("\n</body>", f"\n{body}\n</body>")
    with replacing(page) as part:
        part.write_text(text, encoding="utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table; its cells are HTML too."""
    lines = [[f"<th>{cell}</th>" for cell in head], *([f"<td>{cell}</td>" for cell in row] for row in rows)]
    return "<table>" + "".join(f"<tr>{''.join(line)}</tr>" for line in lines) + "</table>"
