"""Demonstrations, prompts and corpora: what is the prompt, what the answer, and what is taken away and told."""

from pathlib import Path
from typing import Any

from alignloop.data.formats import Changed, Refused
from alignloop.records import Demonstration, Document, Prompt
from tests.data.formats.samples import SAMPLES, STORY, imported, record, said


def test_an_alpaca_input_stands_below_the_instruction_unless_it_says_there_is_none(tmp_path: Path):
    row = SAMPLES["alpaca"]
    plain, *nothing, empty = imported(
        tmp_path,
        "alpaca",
        row,
        *({**row, "input": text} for text in ("<noinput>", "No input", "<No input>")),
        {**row, "output": " "},
    )
    assert said(plain) == ["user: Translate.\n\ncat", "assistant: Katze"]
    assert [said(item)[0] for item in nothing] == ["user: Translate."] * 3
    assert [item.how for item in nothing] == [("an input that says there is none taken away",)] * 3
    assert empty == Refused("content: String should have at least # character")


def test_dollys_context_stands_below_the_instruction(tmp_path: Path):
    [item] = imported(tmp_path, "dolly", SAMPLES["dolly"])
    assert said(item) == ["user: Who was he?\n\nHe was a king [1].", "assistant: A king."]
    assert item.category == "closed_qa"


def conversation(*turns: tuple[str, str], id: str = "abc_0") -> dict[str, Any]:
    return {"id": id, "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


def test_sharegpt_is_a_demonstration_or_a_prompt_by_who_speaks_last_and_pieces_have_one_user(tmp_path: Path):
    human, model = ("human", "Hi?"), ("gpt", "Hi!")
    items = imported(
        tmp_path,
        "sharegpt",
        conversation(("system", "Be kind."), human, model),
        conversation(human, model, human, id="abc_17"),
        conversation(model, human),
        conversation(human, human),
        conversation(human, ("tool", "{}")),
        conversation(),
        conversation(human, ("gpt", " ")),
    )
    assert [type(item) for item in items] == [Demonstration, Prompt, *[Refused] * 5]
    assert said(items[0]) == ["system: Be kind.", "user: Hi?", "assistant: Hi!"]
    assert items[0].user == items[1].user
    assert "turn # is by 'assistant' where 'user' must speak" in items[2].reason
    assert items[4] == Refused("a speaker that is neither person, model nor system: a tool's turn, say")


def test_qloras_transcripts_are_taken_apart_at_their_marks_and_share_a_user_by_their_first_words(
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
    first, second, *refused = imported(tmp_path, "oasst-qlora", row, later, *broken)
    assert said(first) == ["user: Hi?", "assistant: Hi!", "user: And?", "assistant: So."]
    assert said(second)[-1] == "assistant: ### Human is a mark, and\n### Assistant too."
    assert first.user == second.user
    assert refused == [Refused("the input is no conversation that waits for the assistant")] * 4


def test_taskmasters_calls_are_left_out_and_told(tmp_path: Path):
    row = SAMPLES["taskmaster"]
    plain = {**row, "utterances": [{**each, "annotations": []} for each in row["utterances"]]}
    waiting = {**row, "utterances": row["utterances"][:1]}
    called, silent, prompt = imported(tmp_path, "taskmaster", row, plain, waiting)
    assert isinstance(called, Changed)
    assert called.how == ("calls of an API left out",)
    assert called.record == silent
    assert said(silent) == ["user: A latte.", "assistant: Sure."]
    assert isinstance(prompt, Prompt)


def test_squalitys_writers_each_answer_below_the_story_which_is_the_user(tmp_path: Path):
    items = imported(tmp_path, "squality", STORY)
    assert said(items[0]) == [
        "user: Once there was a robot.\n\nWhat happens?",
        "assistant: What happens? By 4.",
    ]
    assert [item.labeler for item in items] == ["squality-4", "squality-9"] * 2
    assert len({item.user for item in items}) == 1
    assert len({item.id for item in items}) == 4
    assert imported(tmp_path, "squality", {**STORY, "questions": []}) == [
        Refused("nothing in it to learn from")
    ]


def test_a_benchmarks_second_turn_is_left_out_and_told(tmp_path: Path):
    row = SAMPLES["fastchat"]
    two, one, none = imported(tmp_path, "fastchat", row, {**row, "turns": ["Write."]}, {**row, "turns": []})
    assert said(two) == ["user: Write a poem."]
    assert two.how == ("later turns left out: no answer stands between them",)
    assert isinstance(one, Prompt)
    assert isinstance(none, Refused)


def test_bare_strings_and_arena_prompts_are_prompts(tmp_path: Path):
    first, empty = imported(tmp_path, "prompts", "Hi\u2028there? \x00", " ")
    assert said(first) == ["user: Hi\u2028there? \x00"], "an escaped NUL is content, and a line separator too"
    assert isinstance(empty, Refused)
    [item] = imported(tmp_path, "arena-hard", SAMPLES["arena-hard"])
    assert (said(item), item.category) == (["user: Write a sort."], "coding")


def test_gsm8k_tells_where_it_took_marks_out(tmp_path: Path):
    row = SAMPLES["gsm8k"]
    marked, plain = imported(tmp_path, "gsm8k", row, {**row, "answer": "13\n#### 13"})
    assert marked.how == ("the calculator's marks taken out",)
    assert isinstance(plain, Demonstration)


def test_a_corpus_row_is_cut_like_text_and_loses_only_white_space(tmp_path: Path):
    long = (
        "\n\n".join(f"Paragraph {number}. " + "Some words. " * 30 for number in range(9))
        + " " * 700
        + "x" * 1300
    )
    documents = [
        record(item)
        for item in imported(tmp_path, "corpus", {"text": long}, {"text": "One.", "meta": {"a": 1}})
    ]
    assert all(isinstance(each, Document) and each.text and len(each.text) <= 500 for each in documents)
    texts = [each.text for each in documents if isinstance(each, Document)]
    assert "".join("".join(text or "").replace(" ", "").replace("\n", "") for text in texts) == (
        long + "One."
    ).replace(" ", "").replace("\n", "")
    assert len({each.id for each in documents if isinstance(each, Document)}) == len(documents)
    assert imported(tmp_path, "corpus", {"text": " \n "}) == [Refused("nothing in it to learn from")]


def test_trl_messages_are_demonstrations_and_those_that_wait_are_prompts(tmp_path: Path):
    turns = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi!"}]
    items = imported(
        tmp_path,
        "trl",
        {"messages": turns},
        {"messages": turns[:1]},
        {"prompt": "Hi?", "completion": " Hi!"},
        {"prompt": turns[:1]},
        {"prompt": "Hi?"},
    )
    assert [type(item) for item in items] == [Demonstration, Prompt, Demonstration, Prompt, Prompt]
    assert said(items[0]) == said(items[2]) == ["user: Hi?", "assistant: Hi!"]
