"""Great Expectations' pages to be read without a network: what they would fetch from others goes, a style of their own comes in."""

import re
from pathlib import Path

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
