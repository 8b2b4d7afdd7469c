"""An example of a score function: the shorter a response, the higher its score."""

WORDS = 20


def brief(prompts, responses):
    """1.0 for a response of at most 20 words; 20 / words for a longer one."""
    return [min(1.0, WORDS / max(len(response.split()), 1)) for response in responses]
