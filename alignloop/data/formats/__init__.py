"""The public formats that `ingest` reads, by name; each format is one module that turns rows into records.

A new format is a new module here and a line in FORMATS. A format describes rows; containers.py reads rows
from any kind of file. A source's format is guessed as the first, in this order, that its first row
matches.
"""

from alignloop.data.formats.alpaca import ALPACA
from alignloop.data.formats.arena_hard import ARENA_HARD
from alignloop.data.formats.argilla import ARGILLA
from alignloop.data.formats.corpus import CORPUS
from alignloop.data.formats.dolly import DOLLY
from alignloop.data.formats.fastchat import FASTCHAT
from alignloop.data.formats.gsm8k import GSM8K
from alignloop.data.formats.helpsteer2 import HELPSTEER2
from alignloop.data.formats.hh_rlhf import HH_RLHF
from alignloop.data.formats.importer import Format
from alignloop.data.formats.label_studio import LABEL_STUDIO
from alignloop.data.formats.oasst_qlora import OASST_QLORA
from alignloop.data.formats.open_assistant import OPEN_ASSISTANT
from alignloop.data.formats.open_assistant_messages import OPEN_ASSISTANT_MESSAGES
from alignloop.data.formats.own_records import OWN_RECORDS
from alignloop.data.formats.pandalm import PANDALM
from alignloop.data.formats.preference_tables import (
    ARENA,
    INSTRUCTED,
    LABEL_STUDIO_MIN,
    NECTAR,
    OPENAI_PREFERENCE,
    SAFE_RLHF,
)
from alignloop.data.formats.prompts import PROMPTS
from alignloop.data.formats.self_instruct import SELF_INSTRUCT
from alignloop.data.formats.sharegpt import SHAREGPT, SHAREGPT_PIECES
from alignloop.data.formats.shp import SHP
from alignloop.data.formats.squality import SQUALITY
from alignloop.data.formats.squality_rankings import SQUALITY_RANKINGS
from alignloop.data.formats.summarize_from_feedback import SUMMARIZE_FROM_FEEDBACK
from alignloop.data.formats.taskmaster import TASKMASTER
from alignloop.data.formats.text import TEXT
from alignloop.data.formats.transcripts import TRANSCRIPTS
from alignloop.data.formats.trl import TRL
from alignloop.data.formats.tulu import TULU
from alignloop.data.formats.ultrafeedback import ULTRAFEEDBACK
from alignloop.data.formats.webgpt import WEBGPT

FORMATS: dict[str, Format] = {
    "hh-rlhf": HH_RLHF,
    "open-assistant": OPEN_ASSISTANT,
    "open-assistant-messages": OPEN_ASSISTANT_MESSAGES,
    "oasst-qlora": OASST_QLORA,
    "summarize-from-feedback": SUMMARIZE_FROM_FEEDBACK,
    "webgpt": WEBGPT,
    "shp": SHP,
    "ultrafeedback": ULTRAFEEDBACK,
    "pandalm": PANDALM,
    "tulu": TULU,
    "squality-rankings": SQUALITY_RANKINGS,
    "squality": SQUALITY,
    "nectar": NECTAR,
    "arena": ARENA,
    "openai-preference": OPENAI_PREFERENCE,
    "safe-rlhf": SAFE_RLHF,
    "instruction-preference": INSTRUCTED,
    "helpsteer2": HELPSTEER2,
    "label-studio": LABEL_STUDIO,
    "label-studio-min": LABEL_STUDIO_MIN,
    "argilla": ARGILLA,
    "gsm8k": GSM8K,
    "self-instruct": SELF_INSTRUCT,
    "alpaca": ALPACA,
    "dolly": DOLLY,
    "sharegpt": SHAREGPT,
    "sharegpt-pieces": SHAREGPT_PIECES,
    "taskmaster": TASKMASTER,
    "fastchat": FASTCHAT,
    "arena-hard": ARENA_HARD,
    "own": OWN_RECORDS,
    "trl": TRL,
    "prompts": PROMPTS,
    "transcripts": TRANSCRIPTS,
    "corpus": CORPUS,
    "text": TEXT,
}
