"""reports/index.html: equal files give equal bytes, texts stay texts, and nothing is fetched or run."""

import re
from pathlib import Path

import pytest

from alignloop.release.results_page import PAGE, write_page
from tests.evaluation.evaluations import evaluation
from tests.release.result_files import evaluated, make_rounds


@pytest.fixture
def rounds(project: Path) -> Path:
    return make_rounds(project)


def test_the_same_files_give_the_same_bytes_and_a_missing_picture_is_drawn(rounds: Path) -> None:
    assert write_page(rounds) == rounds / PAGE
    first = (rounds / PAGE).read_bytes()
    assert (rounds / "reports" / "release.png").exists()
    assert (rounds / "reports" / "rounds" / "r1" / "evaluate.png").exists()
    (rounds / "reports" / "release.png").unlink()
    write_page(rounds)
    assert (rounds / PAGE).read_bytes() == first


def test_every_model_replies_to_the_same_prompts_and_texts_stay_texts(rounds: Path) -> None:
    write_page(rounds)
    page = (rounds / PAGE).read_text()
    articles = page.split("<article>")[1:]
    assert len(articles) == 12
    for article in articles:
        assert re.findall(r"<li><b>([^<]+)</b>", article) == ["base", "SFT", "r1", "r2"]
        assert "base of r2" in article, "base and SFT are those of the last round"
        assert "policy of r1" in article
        assert "policy of r2" in article
    assert re.findall(r"<h3>([^<]+)</h3>", page)[:4] == ["fact", "false premise"] * 2
    tags = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "<script" not in tags
    assert not re.search(r"<[^>]*\s(on\w+|style)=", tags)
    assert "&lt;script&gt;alert(1)" in tags
    assert set(re.findall(r'(?:src|href)="([^"]{5})', tags)) <= {
        "data:",
        "#resu",
        "#resp",
        "#gate",
        "#pict",
        "#next",
    }


def test_it_is_there_after_one_round_without_a_release_and_without_responses(project: Path) -> None:
    assert write_page(project) is None
    assert not (project / PAGE).exists()
    evaluated(project, r1=evaluation(gold=None))
    write_page(project)
    page = (project / PAGE).read_text()
    assert "No release has compared these rounds yet" in page
    assert 'id="gates"' not in page
    assert "dvc checkout data/evaluation" in page


def test_a_name_in_the_data_makes_no_tag_and_no_link(rounds: Path) -> None:
    report = evaluation()
    report["models"] = {
        name: model | {"behaviours": {"<b>[x](javascript:1)": model["behaviours"]["fact"]}}
        for name, model in report["models"].items()
    }
    evaluated(rounds, r1=report, r2=report)
    (rounds / "metrics" / "release.json").unlink()
    write_page(rounds)
    page = (rounds / PAGE).read_text()
    assert "&lt;b&gt;[x](javascript:1)" in page
    assert '<a href="javascript' not in page
