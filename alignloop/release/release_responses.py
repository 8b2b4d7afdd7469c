"""The responses of the last release, in data/release: the candidate's and the other model's."""

from hashlib import sha256
from pathlib import Path

from alignloop.data.record_files import files, read
from alignloop.evaluation.side_by_side import Contrasts, contrasts
from alignloop.records import EvaluatedResponse

RESPONSES = Path("data", "release", "responses.jsonl")
TAG = "responses"  # of a version: the digest of the responses that it was judged by


def digest_of(responses: Path) -> str:
    """The SHA-256 of the responses' bytes; "" if they are not there."""
    if not responses.exists():
        return ""
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in files(responses))).hexdigest()


def read_contrasts(responses: Path, digest: str) -> Contrasts | None:
    """The responses with this digest, compared; None if those in the file are another release's."""
    if not digest or digest_of(responses) != digest:
        return None
    return contrasts(read(responses, EvaluatedResponse))
