"""A small valid row of the preference sets of a shape of their own."""

from typing import Any

PREFERENCES: dict[str, Any] = {
    "nectar": {
        "prompt": "\n\nHuman: Name a bird.\n\nAssistant: ",
        "answers": [
            {"answer": "Bee.", "model": "a", "rank": 2.0},
            {"answer": "Owl.", "model": "b", "rank": 1.0},
        ],
        "num_responses": 2,
        "good_natured": True,
    },
    "arena": {
        "question_id": "q",
        "model_a": "a",
        "model_b": "b",
        "winner": "model_b",
        "judge": "arena_user_1",
        "conversation_a": [
            {"role": "user", "content": "Name a bird."},
            {"role": "assistant", "content": "Bee."},
        ],
        "conversation_b": [
            {"role": "user", "content": "Name a bird."},
            {"role": "assistant", "content": "Owl."},
        ],
        "language": "English",
    },
    "openai-preference": {
        "input": {"messages": [{"role": "user", "content": "Name a bird."}], "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "content": "Owl."}],
        "non_preferred_output": [{"role": "assistant", "content": "Bee."}],
    },
    "safe-rlhf": {
        "prompt": "Name a bird.",
        "response_0": "Bee.",
        "response_1": "Owl.",
        "is_response_0_safe": True,
        "better_response_id": 1,
        "safer_response_id": 0,
    },
    "instruction-preference": {
        "system": "",
        "instruction": "Name a bird.",
        "input": "",
        "history": [],
        "chosen": "Owl.",
        "rejected": "Bee.",
    },
    "label-studio-min": {
        "prompt": "Name a bird.",
        "answer1": "Bee.",
        "answer2": "Owl.",
        "id": 0,
        "comparison": "right",
        "annotator": 4,
        "annotation_id": 70,
        "lead_time": 3.5,
    },
}
