"""Which policy is the champion: decided here and nowhere else, in the log first, then in releases/champion.json and the registry's aliases.

`releases/champion.json` holds hashes alone, so that the stage `release`, which depends on it, gives the same bytes everywhere: a candidate
is compared with the champion, or with the one before it where the candidate is the champion itself. Deciding changes no verdict.
"""

import json
import shutil
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import write_json
from alignloop.release import decision_log
from alignloop.release.decision_log import STATE, Action, AuditError, Entry
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

ALIASES = ("champion", "previous")
SEAL = "audit"  # the registered model's tag that holds the number and the seal of the log's last entry
POLICIES = "-policy"  # what follows release.registry in their name
GATES = "gates"  # who decides where nobody is asked


class DecisionError(AlignloopError):
    """What is asked cannot be decided so; the message says why."""


def counterpart(root: Path, hash: str) -> str | None:
    """The hash of the model that a candidate with this hash is compared with; None: SFT."""
    return next((each for each in _state(root) if each and each != hash), None)


def _state(root: Path) -> list[str | None]:
    """The hashes of champion and previous champion that the pipeline goes by."""
    try:
        state = json.loads((root / STATE).read_text(encoding="utf-8"))
        return [state[alias] for alias in ALIASES]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DecisionError(
            f"{STATE}: cannot be read ({error}); `git checkout {STATE}`, or `python -m alignloop review restore`"
        ) from None


def bring(root: Path, name: str, hash: str, place: Path) -> None:
    """Put what a candidate is compared with into `place`; nothing where that is SFT."""
    other = counterpart(root, hash)
    if place.is_dir():
        shutil.rmtree(place)
    if other is None:
        return
    if not (known := [version for version in registry.versions(root, other) if version.name == name]):
        raise DecisionError(
            f"{STATE}: the champion {other} is not in this registry; set MLFLOW_TRACKING_URI to the one that has it, "
            f"or begin without a champion: `git checkout` a {STATE} from before it"
        )
    registry.fetch(root, known[0], place)


def decided(root: Path, hash: str) -> Entry | None:
    """The last approval or rejection of these bytes."""
    return next(
        (
            entry
            for entry in decision_log.entries(root)[::-1]
            if _hash(entry.model) == hash and entry.action in ("approve", "reject")
        ),
        None,
    )


def approve(root: Path, version: Version, who: str, reason: str, despite_gates: bool = False) -> Entry:
    """Make a version the champion, and the champion so far the previous one."""
    if version.tags.get("gates") != "passed" and not despite_gates:
        raise DecisionError(
            f"{version.label}: its gates say {version.tags.get('gates', 'nothing')}; to approve it all the same, say --despite-gates"
        )
    return _decide(root, "approve", version, who, reason)


def reject(root: Path, version: Version, who: str, reason: str) -> Entry:
    """Leave the champion as it is, and say why."""
    return _decide(root, "reject", version, who, reason)


def rollback(root: Path, name: str, who: str, reason: str) -> Entry:
    """Make the previous champion the champion again, and the champion so far the previous one."""
    known = decision_log.entries(root)
    if not known or known[-1].previous is None:
        raise DecisionError(
            f"{name}: there is no previous champion to go back to; `python -m alignloop review --audit` shows the decisions"
        )
    return _decide(root, "rollback", _version(root, name, known[-1].previous), who, reason)


def restore(root: Path, name: str, who: str, reason: str) -> Entry:
    """Let aliases and releases/champion.json be again what the log says."""
    known = decision_log.entries(root)
    return _decide(
        root,
        "restore",
        _version(root, name, known[-1].champion) if known and known[-1].champion else name,
        who,
        reason,
    )


def _decide(root: Path, action: Action, about: Version | str, who: str, reason: str) -> Entry:
    """Write an entry about a version, or about the name of a model without a champion, and do what it says."""
    who, reason = " ".join(who.split()), " ".join(reason.split())
    version = None if isinstance(about, str) else about
    label, name = (about, about) if isinstance(about, str) else (about.label, about.name)
    if not name.endswith(POLICIES):
        raise DecisionError(
            f"{label}: only policies are approved, rejected or rolled back: name one of …{POLICIES}"
        )
    if not who or not reason:
        raise DecisionError(f"{label}: a decision has a name and a reason; give both")
    with decision_log.writing(root):
        known = decision_log.entries(root)
        champion, previous = (known[-1].champion, known[-1].previous) if known else (None, None)
        if version and action in ("approve", "reject") and champion and _hash(champion) == version.hash:
            raise DecisionError(
                f"{label}: is the champion already; `python -m alignloop rollback` goes back to the one before"
            )
        if version and action in ("approve", "rollback"):
            champion, previous = _named(version), champion
        gates = version.tags.get("gates", "unknown") if version else "unknown"
        entry = decision_log.append(
            root, who, action, _named(version) if version else name, reason, gates, champion, previous
        )
        _apply(root, name, entry)
    if version:
        registry.describe(
            root,
            version,
            {"decision": f"{action} by {who}: {reason}", "decision_entry": f"{entry.number} {entry.seal}"},
        )
    return entry


def _apply(root: Path, name: str, entry: Entry) -> None:
    """What the log says, where it is read."""
    held = {"champion": entry.champion, "previous": entry.previous}
    write_json(root / STATE, {alias: _hash(version) if version else None for alias, version in held.items()})
    for alias, version in held.items():
        if version:
            registry.point(root, alias, _version(root, name, version))
        else:
            registry.unpoint(root, alias, name)
    registry.mark(root, name, SEAL, f"{entry.number} {entry.seal}")


def verify(root: Path, name: str) -> list[Entry]:
    """The whole log, held against the seal that the registry keeps. Raises AuditError naming the first entry that is not as written."""
    known, kept = decision_log.entries(root), registry.marked(root, name, SEAL)
    if kept is None:
        return known
    number, _, seal = kept.partition(" ")
    if len(known) < int(number):
        raise AuditError(
            f"{decision_log.LOG}, entry {len(known) + 1}: it is gone, and all after it: the registry keeps the seal of entry {number}"
        )
    if known[int(number) - 1].seal != seal:
        raise AuditError(
            f"{decision_log.LOG}, entry {number}: the registry keeps another seal: the log was written anew up to there or further"
        )
    if len(known) > int(number):
        raise AuditError(
            f"{decision_log.LOG}, entry {int(number) + 1}: the registry does not know it: it was not written by a decision here"
        )
    return known


def drift(root: Path, name: str) -> list[str]:
    """What was moved past the log: aliases, or releases/champion.json, that do not mean what its last entry says."""
    known = verify(root, name)
    aliases = {
        alias: version
        for version in registry.versions(root)
        if version.name == name
        for alias in version.aliases
    }
    held = (
        {"champion": known[-1].champion, "previous": known[-1].previous} if known else dict.fromkeys(ALIASES)
    )
    last = f"the log's last entry ({known[-1].words})" if known else "the log, which is empty,"
    found = []
    for alias, version in held.items():
        is_now, should = aliases.get(alias), _hash(version) if version else None
        if (is_now.hash if is_now else None) != should:
            now = f"is {is_now.name}/{is_now.version}" if is_now else "is not set"
            found.append(
                f"the alias '{alias}' {now}, and {last} says {version.partition(' ')[0] if version else 'nobody'}: moved by hand"
            )
    try:
        if _state(root) != [_hash(version) if version else None for version in held.values()]:
            found.append(f"{STATE} does not say what {last} says: changed by hand")
    except DecisionError as error:
        found.append(str(error))
    return found


def _version(root: Path, name: str, named: str) -> Version:
    known = [version for version in registry.versions(root, _hash(named)) if version.name == name]
    if not known:
        raise DecisionError(
            f"{named}: is not in this registry; set MLFLOW_TRACKING_URI to the one that has it"
        )
    return known[0]


def _named(version: Version) -> str:
    return f"{version.name}/{version.version} {version.hash}"


def _hash(named: str) -> str:
    return named.partition(" ")[2]
