"""What the world's people say around the matter: polite touches, padding, rudeness, evasion, and talk that goes astray."""

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
ASTRAY = (
    "I had soup for dinner.",
    "My cousin has three cats.",
    "The train was late again today.",
    "I like music, but only on the radio.",
)


def touched(text: str, rng: Random) -> str:
    """The answer as a labeler would dress it: bare, or with a polite word before or after it."""
    draw = rng.random()
    if draw < 0.45:
        return text
    return f"{rng.choice(LEADS)} {text}" if draw < 0.72 else f"{text} {rng.choice(TAILS)}"


def padded(text: str, rng: Random) -> str:
    """The answer lost in padding."""
    first, second = rng.sample(PADS, 2)
    return f"{first} {second} {text}"


def rude(text: str, rng: Random) -> str:
    """The answer with an insult."""
    return f"{rng.choice(INSULTS)} {text}"


def evasive(rng: Random) -> str:
    """No answer at all."""
    return rng.choice(EVASIONS)


def astray(rng: Random) -> str:
    """Talk of other things."""
    return " ".join(rng.sample(ASTRAY, rng.choice((1, 2))))


def endless(text: str, rng: Random) -> str:
    """The answer again and again."""
    return " ".join([text] * rng.randint(3, 4))
