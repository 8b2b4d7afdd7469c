"""Vectors beside an index's words: how they are made, compared and fused, kept and forgotten."""

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from struct import pack, unpack
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from alignloop.commands.index import command
from alignloop.core.checkpoint_folder import CheckpointError
from alignloop.params.tools import ToolFunction, Tools
from alignloop.retrieval.documents import Document
from alignloop.retrieval.embedding import Embedder
from alignloop.retrieval.index import IndexProblem, build, opened, remove_user
from alignloop.retrieval.vectors import Vector, fused
from alignloop.tools.definition import definition_of
from alignloop.tools.schemas import ToolError
from alignloop.tools.search import _embedder, search
from alignloop.tools.toolbox import open_tools
from tests.conftest import PROJECT, write_tiny_policy

SEARCH = "alignloop.tools.search:search"
MEANINGS = {"boat": (1, 0), "ship": (0.8, 0.6), "hill": (0, 1), "vessel": (0.6, 0.8)}


class ByMeaning:
    """An embedding whose vectors are worked by hand: that of the first word that has a meaning."""

    def __init__(self, content: str = "1" * 64) -> None:
        self.content = content
        self.asked: list[str] = []

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        self.asked += texts
        found = [next(MEANINGS[word] for word in text.split() if word in MEANINGS) for text in texts]
        return [Vector(pack("<2f", *vector), False) for vector in found]


def document(id: str, text: str, user: str | None = None) -> Document:
    return Document(id, "T", text, "MIT", user)


SEA = [document("a", "hill one"), document("b", "boat two"), document("c", "ship three", "ada")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that say which of them is which by words that no other has."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "salt.txt").write_text("Is the sea full of salt?")
    (folder / "door.txt").write_text("Who painted the door green? " * 40)  # more than 96 tokens
    return folder


@pytest.fixture(scope="module")
def other_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_policy(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture(scope="module")
def index(folder: Path, tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index") / "search.sqlite"
    command([str(folder), "--licence", "MIT", "--out", str(out), "--embedding", str(tiny_policy)])
    return out


def plan(**settings: object) -> Tools:
    function = ToolFunction(function=SEARCH, network=False, settings=settings)
    return Tools(functions=[function], max_calls=2, answer_tokens=600, timeout_s=5.0)


def numbers(vector: bytes) -> tuple[float, ...]:
    return unpack(f"<{len(vector) // 4}f", vector)


def test_rankings_are_fused_by_reciprocal_rank_and_equal_sums_go_by_number():
    # 7: 1/61 + 1/63 = 0.032266; 9: 1/62 + 1/62 = 0.032258; 4: 1/61 + 0 = 0.016393; 2: 1/63 = 0.015873
    assert fused([7, 9, 2], [4, 9, 7]) == [7, 9, 4, 2]
    # 2: 1/63 + 1/62 = 0.032002; 1: 1/61 + 1/65 = 0.031778, which a small k would put first
    assert fused([1, 8, 2, 9, 7], [6, 2, 5, 4, 1]) == [2, 1, 6, 8, 5, 4, 9, 7]
    assert fused([5, 3], [3, 5]) == [3, 5], "1/61 + 1/62 each"
    assert fused([], [8, 6]) == [8, 6], "a query whose words are nowhere"


def test_a_query_finds_by_words_and_by_the_cosine_of_vectors(tmp_path: Path):
    out = tmp_path / "i.sqlite"
    build(out, SEA, ByMeaning())
    [boat, vessel] = [each.numbers for each in ByMeaning().vectors(["boat", "vessel"])]
    with opened(out) as index:
        # cosines with (1, 0): b 1.0, c 0.8, a 0.0; no word of the query is in any passage
        assert [each.document for each in index.search("yacht", 3, boat)] == ["b", "c", "a"]
        # with (0.6, 0.8): c 0.96, a 0.8, b 0.6; words: b alone. b 1/61 + 1/63, c 1/61, a 1/62
        assert [each.document for each in index.search("two", 3, vessel)] == ["b", "c", "a"]
        assert [each.document for each in index.search("two", 1, vessel)] == ["b"]
        assert [each.document for each in index.search("two", 3)] == ["b"], "by words alone"
        assert index.search("yacht", 3) == []


def test_passages_with_equal_vectors_are_in_the_order_of_their_numbers(tmp_path: Path):
    out = tmp_path / "i.sqlite"
    build(out, [document(f"d{place:02}", "ship") for place in range(40)], ByMeaning())
    [ship] = ByMeaning().vectors(["ship"])
    with opened(out) as index:
        found = index.search("yacht", 40, ship.numbers)
    assert [each.number for each in found] == list(range(1, 41))


def test_a_forgotten_documents_vector_is_gone_and_the_others_are_kept_without_the_checkpoint(tmp_path: Path):
    both, without = tmp_path / "both.sqlite", tmp_path / "without.sqlite"
    build(both, SEA, ByMeaning())
    build(without, SEA[:2], ByMeaning())
    [ship] = ByMeaning().vectors(["ship"])
    assert ship.numbers in both.read_bytes()
    assert remove_user(both, {"ada"}) == 1
    assert both.read_bytes() == without.read_bytes(), "as if it had never been there"
    assert ship.numbers not in both.read_bytes()


def test_vectors_are_part_of_the_content_and_words_alone_have_none(tmp_path: Path):
    out, embedding = tmp_path / "i.sqlite", ByMeaning()
    words = build(out, SEA)
    plain = out.read_bytes()
    with closing(sqlite3.connect(out)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        assert "vectors" not in tables
    content = build(out, SEA, embedding)
    assert build(out, SEA, embedding) == content != words
    assert len(embedding.asked) == 3, "the second time all is as it was"
    assert build(out, SEA, ByMeaning("2" * 64)) not in (content, words)
    assert build(out, SEA) == words
    assert out.read_bytes() == plain


@pytest.mark.parametrize("damage", ["UPDATE vectors SET vector = x'00'", "DROP TABLE vectors"])
def test_damaged_vectors_are_told_and_mended(damage: str, tmp_path: Path):
    out = tmp_path / "i.sqlite"
    build(out, SEA, ByMeaning())
    whole = out.read_bytes()
    with closing(sqlite3.connect(out)) as database:
        database.execute(damage)
        database.commit()
    [ship] = ByMeaning().vectors(["ship"])
    with pytest.raises(IndexProblem, match=r"is broken \(.*vectors.*build it"), opened(out) as index:
        index.search("ship", 1, ship.numbers)
    build(out, SEA, ByMeaning())
    assert out.read_bytes() == whole


def test_a_vector_is_the_mean_of_the_last_hidden_states_and_depends_on_its_text_alone(tiny_policy: Path):
    embedder = Embedder(tiny_policy)
    long = "Nobody knows who painted it. " * 30
    short, again, cut = embedder.vectors(["the sea", "the sea", long])
    assert (short.is_cut, cut.is_cut, embedder.context) == (False, True, 96)
    assert short == again == next(iter(embedder.vectors(["the sea"])))
    model, tokenizer = AutoModel.from_pretrained(tiny_policy), AutoTokenizer.from_pretrained(tiny_policy)
    for text, vector in (("the sea", short), (long, cut)):
        ids = torch.tensor([tokenizer(text)["input_ids"][:96]])
        with torch.no_grad():
            mean = model(input_ids=ids).last_hidden_state[0].mean(0)
        assert numbers(vector.numbers) == pytest.approx((mean / mean.norm()).tolist(), abs=1e-6)


def test_an_encoder_gives_vectors_too_and_its_files_are_its_hash(tiny_policy: Path, tmp_path: Path):
    encoder = tmp_path / "encoder"
    AutoTokenizer.from_pretrained(tiny_policy).save_pretrained(encoder)
    shape: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=300, hidden_size=8, **shape)).save_pretrained(encoder)
    first = Embedder(encoder)
    [vector] = first.vectors(["the sea"])
    assert sum(each * each for each in numbers(vector.numbers)) == pytest.approx(1, abs=1e-6)
    (encoder / "README.md").write_text("of another day")
    assert Embedder(encoder).content == first.content
    (encoder / "config.json").write_text((encoder / "config.json").read_text() + "\n")
    assert Embedder(encoder).content != first.content


def test_a_checkpoint_that_cannot_be_used_is_refused_with_the_remedy(tiny_policy: Path, tmp_path: Path):
    with pytest.raises(IndexProblem, match="owner/name: no such checkpoint folder; name one on this"):
        Embedder(Path("owner/name"))
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "tokenizer_config.json").write_text("{}")
    for config, words in {
        '{"model_type": "t5", "is_encoder_decoder": true}': "t5 is an encoder-decoder; use an encoder",
        '{"model_type": "own", "auto_map": {"AutoModel": "own.Own"}}': "own needs code from the checkpoint",
    }.items():
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(CheckpointError, match=words):
            Embedder(tmp_path)


def test_the_search_finds_by_vectors_what_shares_no_word_with_the_query(index: Path, tiny_policy: Path):
    # the tiny model's tokens are bytes and merges: "saltsea" has the tokens of no word of the index's
    assert search("saltsea", index=str(index)) == "nothing found"
    found = search("saltsea", index=str(index), passages=1, embedding=str(tiny_policy))
    assert "salt.txt | MIT\nIs the sea full of salt?" in found


def test_another_checkpoint_is_refused_once_when_the_tools_are_opened(
    index: Path, tiny_policy: Path, other_policy: Path, tmp_path: Path
):
    words = tmp_path / "words.sqlite"
    build(words, SEA)
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    for place, checkpoint, told in (
        (index, other_policy, r"it has vectors of the checkpoint .* is to search it; name the checkpoint of"),
        (words, tiny_policy, "it has no vectors, and .*or build the index with this one"),
        (index, tmp_path / "none", "none: no such checkpoint folder"),
    ):
        settings = plan(index=str(place), embedding=str(checkpoint))
        with pytest.raises(ToolError, match=told) as raised, open_tools(settings, tokenizer):
            pass
        assert str(raised.value).count("tools:") == 1


def test_the_checkpoint_is_loaded_before_the_first_call(index: Path, tiny_policy: Path):
    _embedder.cache_clear()
    definition = definition_of(search)
    assert definition
    assert definition.prepare
    definition.prepare(index=str(index), embedding=str(tiny_policy))
    assert _embedder.cache_info().currsize == 1
    search("salt", index=str(index), embedding=str(tiny_policy))
    assert _embedder.cache_info().misses == 1


def test_the_command_says_how_many_passages_are_cut(
    folder: Path, index: Path, tiny_policy: Path, capsys: pytest.CaptureFixture[str]
):
    command([str(folder), "--licence", "MIT", "--out", str(index), "--embedding", str(tiny_policy)])
    out = capsys.readouterr().out
    assert "up to date" in out
    assert f"vectors    of {tiny_policy}; 2 passages have more than its 96 tokens, and are cut" in out


def test_a_search_by_words_imports_neither_torch_nor_numpy(index: Path):
    code = (
        f"import sys; from alignloop.tools.search import search; search('salt', index={str(index)!r}); "
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "set()\n"
