"""Credentials: the keys and tokens that detect-secrets knows, and those of some services that it does not."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module

PLUGINS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
OTHERS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<![\w-])eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*", re.ASCII),  # JSON Web Tokens
    re.compile(r"(?<=://)[^\s/:@]+:[^\s/:@]+(?=@[\w.-])"),  # user name and password in a URL
    re.compile(r"(?<![\w-])sk-(?:[a-z]+[0-9]*-)*[A-Za-z0-9_-]{20,}", re.ASCII),  # OpenAI, Anthropic
    re.compile(r"(?<![\w-])AIza[0-9A-Za-z_-]{35}", re.ASCII),  # Google
    re.compile(r"(?<![\w-])hf_[A-Za-z0-9]{30,}", re.ASCII),  # Hugging Face
    re.compile(r"(?<![\w-])github_pat_[A-Za-z0-9_]{22,}", re.ASCII),
)
LIKELY = re.compile(r"[A-Za-z0-9_-]{16}|://[^\s/]+@|-----BEGIN", re.ASCII)


def find(text: str) -> Iterator[tuple[int, int]]:
    """The spans of keys and tokens."""
    if LIKELY.search(text):
        for pattern in _patterns():
            for match in pattern.finditer(text):
                yield match.span()


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    plugins = (
        getattr(import_module(f"detect_secrets.plugins.{module}"), name) for module, name in PLUGINS.items()
    )
    return (*OTHERS, *(pattern for plugin in plugins for pattern in plugin.denylist))
