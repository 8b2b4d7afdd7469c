"""What `make docs` does with links: pages outside docs/ join the site, other files become their paths.

On GitHub and in an editor every link is a path in the repository. On the site some of these files are
pages (PAGES), and the others, such as params.yaml, are not there: their link becomes its text and path.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from properdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "data.md",
}  # path in the repository -> page of the site
FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Headings get the anchors that GitHub gives them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = _anchor
    return config


def on_files(files: Files, config: Any) -> Files:
    """The pages that lie outside docs/."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The page with its links as the site needs them; code stays as it is."""
    here = page.file.src_uri
    source = next((path for path, name in PAGES.items() if name == here), f"docs/{here}")
    known = {file.src_uri for file in files}
    parts = FENCED.split(markdown)
    return "".join(
        part if place % 2 else LINK.sub(lambda link: _on_site(link, source, here, known), part)
        for place, part in enumerate(parts)
    )


def _on_site(link: re.Match[str], source: str, here: str, known: set[str]) -> str:
    text, target = link.groups()
    if re.match(r"[a-z]+:|#", target):
        return link[0]
    path, _, anchor = target.partition("#")
    file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if file == "docs/decisions":
        file = "docs/decisions/README.md"
    page = PAGES.get(file, file.removeprefix("docs/"))
    if page in known and (file in PAGES or file.startswith("docs/")):
        there = posixpath.relpath(page, posixpath.dirname(here) or ".")
        return f"[{text}]({there}{'#' if anchor else ''}{anchor})"
    if not (ROOT / file).exists():
        return link[0]  # the strict build names it
    return text if text == file else f"{text} (`{file}`)"


def _anchor(heading: str, separator: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)
