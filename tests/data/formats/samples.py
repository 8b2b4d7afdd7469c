"""A small valid row of every public format, as its source writes it, and helpers that import rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignloop.data.formats import FORMATS
from alignloop.data.formats.importer import Changed, Refused
from alignloop.records import Demonstration, Document, Prompt, Ranking, Record
from tests.data.formats.preference_samples import PREFERENCES

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


def write(path: Path, rows: Sequence[Any], array: bool = False) -> Path:
    """The rows as JSON Lines, or as an indented array."""
    text = (
        json.dumps(rows, indent=4) + "\n"
        if array
        else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def read_items(path: Path, format: str, source: str = "") -> list[Any]:
    """What an importer yields: records, changed records, and refusals."""
    return [item for _, item in FORMATS[format].read(path, source or path.name)]


def import_rows(tmp_path: Path, format: str, *rows: Any) -> list[Any]:
    """What an importer yields for some rows."""
    return read_items(write(tmp_path / "rows.jsonl", rows), format)


def record_of(item: Any) -> Record:
    """The record of an item, which must not be refused."""
    assert not isinstance(item, Refused), item
    return item.record if isinstance(item, Changed) else item


def turns_of(item: Any) -> list[str]:
    """The turns of a conversation as `role: content`."""
    record = record_of(item)
    conversation = record.prompt if isinstance(record, Ranking) else record
    assert isinstance(conversation, Prompt | Demonstration)
    return [f"{message.role}: {message.content}" for message in conversation.messages]


def ranked_responses(item: Any) -> list[tuple[str, int]]:
    """The responses of a ranking with their ranks."""
    record = record_of(item)
    assert isinstance(record, Ranking)
    return list(zip(record.responses, record.ranks, strict=True))


def completion(response: str, *ratings: str) -> dict[str, Any]:
    """A completion of UltraFeedback; its overall score is the wrong 10 that the data set is known for."""
    annotations = {
        aspect: {"Rating": rating, "Rationale": "…"} for aspect, rating in zip(ASPECTS, ratings, strict=True)
    }
    return {"model": "m", "response": response, "annotations": annotations, "overall_score": 10.0}


def reviews(*ranks: int) -> list[dict[str, Any]]:
    """The ranks that reviewers gave one system; their ratings tie."""
    return [
        {"system": "s", "worker_id": str(worker), "overall-rank": rank, "overall-rating": 50}
        for worker, rank in enumerate(ranks, 2)
    ]


STORY = {
    "metadata": {"passage_id": "7", "uid": "u", "license": "l"},
    "document": "\nOnce there was a robot.\n",
    "questions": [
        {
            "question_number": number,
            "question_text": text,
            "responses": [
                {"worker_id": "4", "uid": "a", "response_text": f"{text} By 4."},
                {"worker_id": "9", "response_text": "By 9."},
            ],
        }
        for number, text in ((1, "What happens?"), (2, "Who is it?"))
    ],
}
REVIEWED = {
    "passage-id": "7",
    "questions": {
        "0": {
            "human": {"response": "What happens? By 4.", "overall": {}, "reviews": reviews(1, 1, 2)},
            "bart": {"response": "Robot robot.", "reviews": reviews(2, 3, 3)},
            "bart-dpr": {"response": "", "reviews": reviews(3, 2, 1)[::-1]},
        }
    },
}

SAMPLES: dict[str, Any] = {
    "hh-rlhf": {"chosen": "\n\nHuman: Hi?\n\nAssistant: Hi!", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."},
    "open-assistant": {
        "message_tree_id": "t",
        "prompt": {
            "message_id": "m",
            "text": "Hi?",
            "role": "prompter",
            "replies": [
                {"message_id": name, "text": name, "role": "assistant", "rank": rank, "replies": []}
                for rank, name in enumerate("ab")
            ],
        },
    },
    "oasst-qlora": {
        "input": "### Human: Hi? ### Assistant: Hi! ### Human: And? ### Assistant:",
        "output": "So.",
        "message_id": "m",
        "lang": "en",
    },
    "summarize-from-feedback": {
        "info": {"id": "t3", "post": "I lost my cat.", "title": "Cat", "subreddit": "pets"},
        "split": "train",
        "summaries": [{"text": " Cat lost.", "policy": "sup4"}, {"text": " Cat.", "policy": "ref"}],
        "choice": 1,
        "worker": "w1",
        "batch": "b",
    },
    "webgpt": {
        "question": {"dataset": "eli5", "id": "q", "full_text": "Why is the sky blue?"},
        "quotes_0": {"title": ["T"], "extract": ["E"]},
        "answer_0": "Air scatters blue [1].",
        "score_0": -0.5,
        "quotes_1": {"title": [], "extract": []},
        "answer_1": "It is.",
        "score_1": 0.5,
    },
    "shp": {
        "post_id": "p",
        "domain": "askculinary_train",
        "history": "How long to boil an egg?",
        "human_ref_A": "Ten minutes.",
        "human_ref_B": "Six.",
        "score_A": 3,
        "score_B": 9,
        "labels": 0,
        "score_ratio": 3.0,
    },
    "ultrafeedback": {
        "source": "flan",
        "instruction": "Name a bird.",
        "models": ["a", "b", "c"],
        "completions": [
            completion("Owl.", "5", "4", "5", "4"),
            completion("Bee.", "1", "1", "1", "1"),
            completion("Hen.", "4", "5", "4", "5"),
        ],
    },
    "pandalm": {
        "idx": 0,
        "motivation_app": "Quora",
        "cmp_key": "a_b",
        "instruction": "Answer.",
        "input": "2+2?",
        "response1": "4",
        "response2": "",
        "annotator1": 1,
        "annotator2": 2,
        "annotator3": 0,
    },
    "tulu": {
        "id": "216.0",
        "prompt": "Name a bird.\n",
        "model_a": "a",
        "model_b": "b",
        "completion_a": "Owl.",
        "completion_b": "Bee.",
        "preference": "a-is-slightly-better",
        "evaluator": "yo",
        "timestamp": "45065.5",
    },
    "squality-rankings": REVIEWED,
    "squality": STORY,
    **PREFERENCES,
    "label-studio": {
        "id": 5,
        "data": {
            "prompt": "Name a bird.",
            "items": [{"id": name, "title": "M", "body": f"{name}."} for name in ("owl", "bee", "hen")],
        },
        "annotations": [
            {
                "id": 1,
                "completed_by": 7,
                "was_cancelled": False,
                "result": [
                    {
                        "from_name": "rank",
                        "to_name": "items",
                        "type": "ranker",
                        "value": {"ranker": ["hen", "owl", "bee"]},
                    }
                ],
            }
        ],
        "predictions": [],
    },
    "argilla": {
        "id": "r",
        "fields": {"prompt": "Name a bird.", "reply-1": "Bee.", "reply-2": "Owl."},
        "metadata": {"model": "m"},
        "external_id": "r-1",
        "suggestions": [],
        "responses": [
            {
                "id": "x",
                "values": {
                    "preference": {
                        "value": [{"value": "reply-1", "rank": 2}, {"value": "reply-2", "rank": 1}]
                    }
                },
                "status": "submitted",
                "user_id": "u1",
            }
        ],
    },
    "gsm8k": {"question": "What is 16-3?", "answer": "It is 16-3=<<16-3=13>>13, so\n#### 13"},
    "self-instruct": {"instruction": "Translate.", "instances": [{"input": "cat", "output": "Katze"}]},
    "alpaca": {"instruction": "Translate.", "input": "cat", "output": "Katze"},
    "dolly": {
        "instruction": "Who was he?",
        "context": "He was a king [1].",
        "response": "A king.",
        "category": "closed_qa",
    },
    "sharegpt": {
        "id": "abc_0",
        "conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hi!"}],
    },
    "taskmaster": {
        "conversation_id": "dlg-1",
        "vertical": "Coffee",
        "instructions": None,
        "utterances": [
            {"index": 0, "speaker": "user", "text": "A latte.", "annotations": [], "segments": []},
            {
                "index": 1,
                "speaker": "assistant",
                "text": "Sure.",
                "annotations": [{"name": "api_call", "value": "order"}],
                "segments": [],
            },
        ],
    },
    "fastchat": {
        "question_id": 81,
        "category": "writing",
        "turns": ["Write a poem.", "Now in prose."],
        "reference": ["a", "b"],
    },
    "arena-hard": {"uid": "u", "category": "hard_prompt", "subcategory": "coding", "prompt": "Write a sort."},
    "own": {"id": "p", "messages": [{"role": "user", "content": "Hi?"}], "user": "u", "source": "s"},
    "trl": {
        "prompt": [{"role": "user", "content": "Hi?"}],
        "chosen": [{"role": "assistant", "content": "Hi!"}],
        "rejected": [{"role": "assistant", "content": "No."}],
    },
    "prompts": "Can you tell me about GLaDOS?",
    "transcripts": {"text": "### Human: Hi?### Assistant: Hi! ### Human: And? ### Assistant: So."},
    "corpus": {"text": "A page.\n\nAnother paragraph.", "url": "https://example.org", "timestamp": "2019"},
}

KINDS = {
    "oasst-qlora": Demonstration,
    "squality": Demonstration,
    "gsm8k": Demonstration,
    "self-instruct": Demonstration,
    "alpaca": Demonstration,
    "dolly": Demonstration,
    "sharegpt": Demonstration,
    "taskmaster": Demonstration,
    "open-assistant": Prompt,
    "transcripts": Demonstration,
    "fastchat": Prompt,
    "arena-hard": Prompt,
    "own": Prompt,
    "prompts": Prompt,
    "corpus": Document,
}  # the type of the first record; a ranking where none is listed
