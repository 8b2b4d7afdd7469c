"""Which language a text is in, by py3langid's naive Bayes model of byte n-grams: 4 MB that come with the package, no network."""

from functools import cache, lru_cache
from typing import Any

SURE = 0.5  # below this probability a text's language is undetermined: most are of a word or two, or no language at all
READ = 400  # characters: more tell no more


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=SURE)


@lru_cache(1 << 16)  # a ranking's prompt, and a demonstration's, is a prompt too
def language_of(text: str) -> str:
    """The text's language as an ISO 639-1 code; `und` where it cannot be told, `zxx` where it is none."""
    language, _ = _identifier().classify(text[:READ])
    return language
