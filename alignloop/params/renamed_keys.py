"""Renamed keys of params.yaml, so that the message on an older file can name the new ones."""

from collections.abc import Iterator
from typing import Any

RENAMED = {
    "lanes": "parallel_passes",
    "prepare.valid": "prepare.valid_share",
    "prepare.test": "prepare.test_share",
    "prepare.near_duplicates": "prepare.near_duplicate_similarity",
    "prepare.common_beginning": "prepare.shared_prefix_words",
    "prepare.contamination": "prepare.decontamination_ngram",
    "prepare.languages": "prepare.detect_language",
    "sft.checks": "sft.validations",
    "sft.check_prompts": "sft.validation_prompts",
    "sft.more": "sft.extra_demonstrations",
    "decoding.batch": "decoding.responses_per_batch",
    "sample.k": "sample.responses_per_prompt",
    "label.judge": "label.panel_utility",
    "label.held_out": "label.held_out_share",
    "label.valid_by_known": "label.valid_share_by_training_labelers",
    "label.enough": "label.min_share_at_deadline",
    "label.model.at_once": "label.model.max_concurrency",
    "people.about": "people.prompt_questions",
    "reward.gain": "reward.normalise_variance",
    "reward.held_out": "reward.held_out_model",
    "ppo.precision": "compute.precision",
    "ppo.gradient_checkpointing": "compute.gradient_checkpointing",
    "ppo.tools": "tools",
}


def renamed(values: Any) -> Iterator[tuple[str, str]]:
    """The old and the new name of each renamed key that `values`, a parsed params.yaml, still has."""
    for old, new in RENAMED.items():
        *sections, key = old.split(".")
        place = values
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if isinstance(place, dict) and key in place:
            yield old, new
