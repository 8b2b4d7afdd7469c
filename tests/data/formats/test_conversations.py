"""Demonstrations, prompts and corpora: which text is the prompt and the response, and what is dropped."""

from pathlib import Path
from typing import Any

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.data.formats.parsed_rows import parse_rows
from alignloop.records import Demonstration, Document, Origin, Prompt
from tests.data.formats.samples import SAMPLES, STORY, import_rows, record_of, turns_of


def test_an_alpaca_input_follows_the_instruction_unless_it_is_a_placeholder(tmp_path: Path):
    row = SAMPLES["alpaca"]
    plain, *nothing, empty = import_rows(
        tmp_path,
        "alpaca",
        row,
        *({**row, "input": text} for text in ("<noinput>", "No input", "<No input>")),
        {**row, "output": " "},
    )
    assert turns_of(plain) == ["user: Translate.\n\ncat", "assistant: Katze"]
    assert [turns_of(item)[0] for item in nothing] == ["user: Translate."] * 3
    assert [item.changes for item in nothing] == [("an input that says there is none taken away",)] * 3
    assert empty == Refused("content: String should have at least # character")


def test_dollys_context_follows_the_instruction(tmp_path: Path):
    [item] = import_rows(tmp_path, "dolly", SAMPLES["dolly"])
    assert turns_of(item) == ["user: Who was he?\n\nHe was a king [1].", "assistant: A king."]
    assert item.category == "closed_qa"


def conversation(*turns: tuple[str, str], id: str = "abc_0") -> dict[str, Any]:
    return {"id": id, "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


def test_sharegpt_gives_a_demonstration_or_prompt_by_the_last_speaker_and_stated_pieces_share_a_user(
    tmp_path: Path,
):
    human, model = ("human", "Hi?"), ("gpt", "Hi!")
    items = import_rows(
        tmp_path,
        "sharegpt-pieces",
        conversation(("system", "Be kind."), human, model),
        conversation(human, model, human, id="abc_17"),
        conversation(model, human),
        conversation(human, human),
        conversation(human, ("tool", "{}")),
        conversation(),
        conversation(human, ("gpt", " ")),
    )
    assert [type(item) for item in items] == [Demonstration, Prompt, *[Refused] * 5]
    assert turns_of(items[0]) == ["system: Be kind.", "user: Hi?", "assistant: Hi!"]
    assert items[0].user == items[1].user
    assert "turn # is by 'assistant' where 'user' must speak" in items[2].reason
    assert items[4] == Refused("a speaker that is neither person, model nor system: a tool's turn, say")


def test_qloras_transcripts_are_split_at_their_marks_and_share_a_user_by_their_first_message(
    tmp_path: Path,
):
    row = SAMPLES["oasst-qlora"]
    later = {
        **row,
        "input": "### Human: Hi? ### Assistant:",
        "output": "### Human is a mark, and\n### Assistant too.",
    }
    broken = [
        {**row, "input": text}
        for text in ("### Human: Hi?", "Hi? ### Assistant:", "### Human: Hi? ### Assistant: Hi!", "")
    ]
    first, second, *refused = import_rows(tmp_path, "oasst-qlora", row, later, *broken)
    assert turns_of(first) == ["user: Hi?", "assistant: Hi!", "user: And?", "assistant: So."]
    assert turns_of(second)[-1] == "assistant: ### Human is a mark, and\n### Assistant too."
    assert first.user == second.user
    assert refused == [Refused("the input is no conversation that waits for the assistant")] * 4


def test_taskmasters_api_calls_are_dropped_and_reported(tmp_path: Path):
    row = SAMPLES["taskmaster"]
    plain = {**row, "utterances": [{**each, "annotations": []} for each in row["utterances"]]}
    waiting = {**row, "utterances": row["utterances"][:1]}
    called, silent, prompt = import_rows(tmp_path, "taskmaster", row, plain, waiting)
    assert isinstance(called, Changed)
    assert called.changes == ("calls of an API left out",)
    assert called.record == silent
    assert turns_of(silent) == ["user: A latte.", "assistant: Sure."]
    assert isinstance(prompt, Prompt)


def test_each_squality_writer_gives_a_demonstration_and_the_story_identifies_the_user(tmp_path: Path):
    items = import_rows(tmp_path, "squality", STORY)
    assert turns_of(items[0]) == [
        "user: Once there was a robot.\n\nWhat happens?",
        "assistant: What happens? By 4.",
    ]
    assert [item.labeler for item in items] == ["squality-4", "squality-9"] * 2
    assert len({item.user for item in items}) == 1
    assert len({item.id for item in items}) == 4
    assert import_rows(tmp_path, "squality", {**STORY, "questions": []}) == [
        Refused("nothing in it to learn from")
    ]


def test_a_benchmarks_second_turn_is_dropped_and_reported(tmp_path: Path):
    row = SAMPLES["fastchat"]
    two, one, none = import_rows(
        tmp_path, "fastchat", row, {**row, "turns": ["Write."]}, {**row, "turns": []}
    )
    assert turns_of(two) == ["user: Write a poem."]
    assert two.changes == ("later turns left out: no answer stands between them",)
    assert isinstance(one, Prompt)
    assert isinstance(none, Refused)


def test_bare_strings_and_arena_prompts_are_prompts(tmp_path: Path):
    first, empty = import_rows(tmp_path, "prompts", "Hi\u2028there? \x00", " ")
    assert turns_of(first) == ["user: Hi\u2028there? \x00"], (
        "an escaped NUL is content, and a line separator too"
    )
    assert isinstance(empty, Refused)
    [item] = import_rows(tmp_path, "arena-hard", SAMPLES["arena-hard"])
    assert (turns_of(item), item.category) == (["user: Write a sort."], "coding")


def test_gsm8k_loses_the_calculator_marks_and_nothing_else(tmp_path: Path):
    row = {"question": "What is 16-3? ", "answer": "It is 16-3=<<16-3=13>>13, so\n#### 13"}
    [item] = import_rows(tmp_path, "gsm8k", row)
    demonstration = record_of(item)
    assert isinstance(demonstration, Demonstration)
    assert turns_of(demonstration) == ["user: What is 16-3?", "assistant: It is 16-3=13, so\n#### 13"]
    [line] = parse_rows([(1, item)], Origin(licence="MIT"))
    assert line.prompt
    prompt = Prompt.model_validate_json(line.prompt.text)
    assert (turns_of(prompt), prompt.check) == (["user: What is 16-3?"], {"answer": "13"})
    assert import_rows(tmp_path, "gsm8k", {"question": "?", "answer": True}) == [
        Refused("answer: Input should be a valid string")
    ]


def test_a_task_is_a_demonstration_per_instance_with_its_input_below_the_instruction(tmp_path: Path):
    instances = [{"input": "cat", "output": "Katze"}, {"input": "", "output": " Ja."}]
    row = {"instruction": "Translate.", "instances": instances, "is_classification": True}
    first, second = import_rows(tmp_path, "self-instruct", row)
    assert isinstance(first, Demonstration)
    assert isinstance(second, Demonstration)
    assert turns_of(first) == ["user: Translate.\n\ncat", "assistant: Katze"]
    assert turns_of(second) == ["user: Translate.", "assistant: Ja."]
    assert first.user == second.user
    assert first.category == "classification"
    empty = {"instruction": "X", "instances": [{"input": "", "output": " "}]}
    assert import_rows(tmp_path, "self-instruct", empty) == [
        Refused("content: String should have at least # character")
    ]


def test_gsm8k_reports_removed_calculator_marks(tmp_path: Path):
    row = SAMPLES["gsm8k"]
    marked, plain = import_rows(tmp_path, "gsm8k", row, {**row, "answer": "13\n#### 13"})
    assert marked.changes == ("the calculator's marks taken out",)
    assert isinstance(plain, Demonstration)


def test_paragraphs_are_joined_up_to_the_bound_and_only_white_space_is_lost(tmp_path: Path):
    short, long = "a line\nanother line", "A sentence of some words. " * 100
    text = "\n\n".join([short] * 40 + [long] + ["x" * 1300] + [short]) + "\n"
    (tmp_path / "book.txt").write_text(text)
    items = list(FORMATS["text"].read(tmp_path / "book.txt", "book.txt"))
    documents = [document for _, document in items if isinstance(document, Document)]
    assert len(documents) == len(items) == len({document.id for document in documents})
    assert max(len(document.text or "") for document in documents) <= 500
    assert "".join("".join((document.text or "").split()) for document in documents) == "".join(text.split())
    assert (documents[0].text or "").startswith(f"{short}\n\n{short}")
    lines = text.split("\n")
    assert all(
        lines[line - 1] and (document.text or "").startswith(lines[line - 1][:1])
        for line, document in items
        if isinstance(document, Document)
    )


def test_a_corpus_row_is_split_like_text_and_loses_only_white_space(tmp_path: Path):
    long = (
        "\n\n".join(f"Paragraph {number}. " + "Some words. " * 30 for number in range(9))
        + " " * 700
        + "x" * 1300
    )
    documents = [
        record_of(item)
        for item in import_rows(tmp_path, "corpus", {"text": long}, {"text": "One.", "meta": {"a": 1}})
    ]
    assert all(isinstance(each, Document) and each.text and len(each.text) <= 500 for each in documents)
    texts = [each.text for each in documents if isinstance(each, Document)]
    assert "".join("".join(text or "").replace(" ", "").replace("\n", "") for text in texts) == (
        long + "One."
    ).replace(" ", "").replace("\n", "")
    assert len({each.id for each in documents if isinstance(each, Document)}) == len(documents)
    assert import_rows(tmp_path, "corpus", {"text": " \n "}) == [Refused("nothing in it to learn from")]


def test_trl_messages_are_demonstrations_or_prompts_if_the_user_speaks_last(tmp_path: Path):
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi!"}]
    items = import_rows(
        tmp_path,
        "trl",
        {"messages": turns},
        {"messages": turns[:1]},
        {"prompt": "Hi?", "completion": " Hi!"},
        {"prompt": turns[:1]},
        {"prompt": "Hi?"},
    )
    assert [type(item) for item in items] == [Demonstration, Prompt, Demonstration, Prompt, Prompt]
    assert turns_of(items[0]) == turns_of(items[2]) == ["user: Hi?", "assistant: Hi!"]
