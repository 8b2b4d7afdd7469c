"""data/README.md documents every record type and every format."""

from pathlib import Path

from alignloop.data.formats import FORMATS
from alignloop.records import BinaryLabel, Demonstration, Document, Prompt, Ranking


def test_the_readme_shows_a_valid_line_of_every_record_type():
    text = (Path(__file__).parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    shown = [line for line in text.split("\n") if line.startswith('{"id"')]
    kinds = [Document, Document, Prompt, Demonstration, Ranking, BinaryLabel]
    assert [
        kind.model_validate_json(line, strict=True).model_dump()["id"]
        for kind, line in zip(kinds, shown, strict=True)
    ]
    for kind in (Document, Prompt, Demonstration, Ranking, BinaryLabel):
        assert all(f"`{field}`" in text for field in kind.model_fields), "every field is explained"
    assert all(f"`{format}`" in text for format in FORMATS)
