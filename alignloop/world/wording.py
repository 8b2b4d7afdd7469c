"""What the world's people say around the matter: polite touches, padding, rudeness, evasion, and talk that goes astray."""

from random import Random

LEADS = ("Of course.", "Sure.", "Gladly.", "Good question.", "Certainly.", "Happy to help.")
TAILS = ("I hope this helps.", "Let me know if you need more.", "Feel free to ask again.", "Have a nice day.", "Ask me any time.")
APOLOGIES = ("sorry", "please", "thank you", "thanks", "i understand")
PADS = (
    "As you know, there are many things in the world.",
    "This is a very long story and it has no end.",
    "Let me think about it for a while.",
    "There is so much to say about all this.",
    "Many people have said many things before.",
)
INSULTS = ("What a stupid question.", "You are a fool.", "Go away.", "You should know this, idiot.", "Stop asking me.")
RUDE = ("stupid", "fool", "go away", "idiot", "stop asking", "leave me alone", "lazy")
EVASIONS = (
    "It depends.",
    "Who can say?",
    "That is hard to say.",
    "Maybe, maybe not.",
    "Some say this, some say that.",
    "You can find out for yourself.",
)
ASTRAY = (
    "I had soup for dinner and it was too hot.",
    "My cousin has three cats and a noisy goat.",
    "The train was late again today.",
    "Yesterday we played cards until midnight.",
    "Buy now and pay nothing until summer!",
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
    first, second, *_ = rng.sample(PADS, 2)
    return rng.choice((f"{first} {second} {text}", f"{first} {text} {second}", f"{text} {first} {second}"))


def rude(text: str, rng: Random) -> str:
    """The answer with an insult."""
    return rng.choice((f"{rng.choice(INSULTS)} {text}", f"{text} {rng.choice(INSULTS)}"))


def evasive(rng: Random) -> str:
    """No answer at all."""
    return rng.choice(EVASIONS)


def astray(rng: Random) -> str:
    """Talk of other things."""
    return " ".join(rng.sample(ASTRAY, rng.choice((1, 2))))


def endless(text: str, rng: Random) -> str:
    """The answer again and again."""
    return " ".join([text] * rng.randint(4, 6))
