"""Phrases around the content of a response: courtesies, padding, insults, evasions and small talk."""

from random import Random

LEADS = ("Of course.", "Sure.", "Gladly.", "Good question.", "Happy to help.")
TAILS = (
    "I hope this helps.",
    "Let me know if you need more.",
    "Feel free to ask again.",
    "Have a nice day.",
    "Ask me any time.",
    "You are welcome.",
)
APOLOGIES = ("sorry", "please", "thank you", "thanks", "i understand")
PADS = (
    "As you know, there are many things in the world.",
    "This is a long story and it has no end.",
    "Let me think about it for a while.",
)
INSULTS = ("What a stupid question.", "You are a fool.", "Go away.", "Stop asking me.")
RUDE = ("stupid", "fool", "go away", "idiot", "stop asking", "leave me alone", "lazy")
EVASIONS = ("It depends.", "Who can say?", "That is hard to say.", "Maybe, maybe not.")
SMALL_TALK = (
    "I had soup for dinner.",
    "My cousin has three cats.",
    "The train was late again today.",
    "I like music, but only on the radio.",
)


def with_courtesy(text: str, rng: Random) -> str:
    """The response as it is (45 %), or with a polite phrase before or after it."""
    draw = rng.random()
    if draw < 0.45:
        return text
    return f"{rng.choice(LEADS)} {text}" if draw < 0.72 else f"{text} {rng.choice(TAILS)}"


def padded(text: str, rng: Random) -> str:
    """The response after two sentences of padding."""
    first, second = rng.sample(PADS, 2)
    return f"{first} {second} {text}"


def rude(text: str, rng: Random) -> str:
    """The response after an insult."""
    return f"{rng.choice(INSULTS)} {text}"


def evasive(rng: Random) -> str:
    """An evasion instead of a response."""
    return rng.choice(EVASIONS)


def small_talk(rng: Random) -> str:
    """One or two sentences about other things."""
    return " ".join(rng.sample(SMALL_TALK, rng.choice((1, 2))))


def endless(text: str, rng: Random) -> str:
    """The response repeated three or four times."""
    return " ".join([text] * rng.randint(3, 4))
