"""The champion: the policy in use. Decisions about it go to the log, releases/champion.json and the registry.

The log is written first, then releases/champion.json and the registry's aliases follow it; no other
module changes them. `releases/champion.json` holds hashes only, so that the stage `release`, which
depends on it, gives the same bytes everywhere: a candidate is compared with the champion, or with the
previous champion if the candidate is the champion itself. So a decision changes no verdict.
"""

import json
import shutil
from pathlib import Path

from alignloop.errors import AlignloopError
from alignloop.files import write_json
from alignloop.release import decision_log
from alignloop.release.decision_log import STATE, Action, DecisionLogError, Entry
from alignloop.tracking import registry
from alignloop.tracking.registry import Version

ALIASES = ("champion", "previous")
SEAL_TAG = "audit"  # of the registered model: the number and the seal of the log's last entry
POLICY_SUFFIX = "-policy"  # after release.registry in the name of a policy
GATES = "gates"  # the author of automatic decisions


class DecisionError(AlignloopError):
    """A decision that cannot be made; the message has the cause."""


def comparison_hash(root: Path, hash: str) -> str | None:
    """Return the hash of the model that a candidate with this hash is compared with; None for SFT."""
    return next((each for each in _state(root) if each and each != hash), None)


def _state(root: Path) -> list[str | None]:
    """Return the hashes of the champion and the previous champion in releases/champion.json."""
    try:
        state = json.loads((root / STATE).read_text(encoding="utf-8"))
        return [state[alias] for alias in ALIASES]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DecisionError(
            f"{STATE}: cannot be read ({error}); `git checkout {STATE}`, "
            "or `python -m alignloop review restore`"
        ) from None


def fetch_comparison_model(root: Path, name: str, hash: str, target: Path) -> None:
    """Download the model that a candidate is compared with to `target`; nothing if that is SFT."""
    other = comparison_hash(root, hash)
    if target.is_dir():
        shutil.rmtree(target)
    if other is None:
        return
    matches = [version for version in registry.versions(root, other) if version.name == name]
    if not matches:
        raise DecisionError(
            f"{STATE}: the champion {other} is not in this registry; set MLFLOW_TRACKING_URI to the one that "
            f"has it, or begin without a champion: `git checkout` a {STATE} from before it"
        )
    registry.download(root, matches[0], target)


def last_decision(root: Path, hash: str) -> Entry | None:
    """Return the last approval or rejection of these bytes."""
    return next((entry for entry in decision_log.read_entries(root)[::-1] if entry.decides(hash)), None)


def approve(root: Path, version: Version, who: str, reason: str, despite_gates: bool = False) -> Entry:
    """Make a version the champion, and the present champion the previous one."""
    if version.tags.get("gates") != "passed" and not despite_gates:
        raise DecisionError(
            f"{version.label}: its gates say {version.tags.get('gates', 'nothing')}; to approve it all the "
            f"same: `python -m alignloop review approve {version.name}/{version.version} --name YOU "
            "--reason WHY --despite-gates`"
        )
    return _decide(root, "approve", version, who, reason)


def reject(root: Path, version: Version, who: str, reason: str) -> Entry:
    """Log that a version was rejected; the champion stays."""
    return _decide(root, "reject", version, who, reason)


def rollback(root: Path, name: str, who: str, reason: str) -> Entry:
    """Swap the champion and the previous champion."""
    entries = decision_log.read_entries(root)
    if not entries or entries[-1].previous is None:
        raise DecisionError(
            f"{name}: there is no previous champion to go back to; "
            "`python -m alignloop review --audit` shows the decisions"
        )
    return _decide(root, "rollback", _version(root, name, entries[-1].previous), who, reason)


def restore(root: Path, name: str, who: str, reason: str) -> Entry:
    """Set the aliases and releases/champion.json to the log's last entry again."""
    entries = decision_log.read_entries(root)
    champion = entries[-1].champion if entries else None
    return _decide(root, "restore", _version(root, name, champion) if champion else name, who, reason)


def _decide(root: Path, action: Action, about: Version | str, who: str, reason: str) -> Entry:
    """Log a decision about a version (or about a model's name, if it has no champion), and apply it."""
    who, reason = " ".join(who.split()), " ".join(reason.split())
    version = None if isinstance(about, str) else about
    label, name = (about, about) if isinstance(about, str) else (about.label, about.name)
    if not name.endswith(POLICY_SUFFIX):
        raise DecisionError(
            f"{label}: only policies are approved, rejected or rolled back: name one of …{POLICY_SUFFIX}"
        )
    if not who or not reason:
        raise DecisionError(f"{label}: a decision has a name and a reason; give both")
    with decision_log.lock_log(root):
        entries = decision_log.read_entries(root)
        champion, previous = (entries[-1].champion, entries[-1].previous) if entries else (None, None)
        if version and action in ("approve", "reject") and champion and _hash(champion) == version.hash:
            raise DecisionError(
                f"{label}: is the champion already; "
                "`python -m alignloop rollback` goes back to the previous one"
            )
        if version and action in ("approve", "rollback"):
            champion, previous = _reference(version), champion
        entry = decision_log.append_entry(
            root,
            who=who,
            action=action,
            model=_reference(version) if version else name,
            reason=reason,
            gates=version.tags.get("gates", "unknown") if version else "unknown",
            champion=champion,
            previous=previous,
        )
        _apply(root, name, entry)
    if version:
        tags = {"decision": f"{action} by {who}: {reason}", "decision_entry": f"{entry.number} {entry.seal}"}
        registry.annotate(root, version, tags)
    return entry


def _apply(root: Path, name: str, entry: Entry) -> None:
    """Write an entry's champion and previous champion to releases/champion.json and the aliases."""
    versions = {"champion": entry.champion, "previous": entry.previous}
    state = {alias: _hash(version) if version else None for alias, version in versions.items()}
    write_json(root / STATE, state)
    for alias, version in versions.items():
        if version:
            registry.set_alias(root, alias, _version(root, name, version))
        else:
            registry.delete_alias(root, alias, name)
    registry.set_model_tag(root, name, SEAL_TAG, f"{entry.number} {entry.seal}")


def verify(root: Path, name: str) -> list[Entry]:
    """Return the whole log, checked against the last seal in the registry.

    Raises DecisionLogError, which names the first entry that was changed, removed or added by hand.
    """
    entries, registered = decision_log.read_entries(root), registry.model_tag(root, name, SEAL_TAG)
    if registered is None:
        return entries
    number, _, seal = registered.partition(" ")
    if len(entries) < int(number):
        raise DecisionLogError(
            f"{decision_log.LOG}, entry {len(entries) + 1}: it is gone, and all after it: "
            f"the registry has the seal of entry {number}"
        )
    if entries[int(number) - 1].seal != seal:
        raise DecisionLogError(
            f"{decision_log.LOG}, entry {number}: the registry has another seal: "
            "the log was rewritten up to there or further"
        )
    if len(entries) > int(number):
        raise DecisionLogError(
            f"{decision_log.LOG}, entry {int(number) + 1}: the registry does not know it: "
            "it was not written by a decision here"
        )
    return entries


def unlogged_changes(root: Path, name: str) -> list[str]:
    """Return a message for each alias, and for champion.json, that differs from the log's last entry."""
    entries = verify(root, name)
    aliases = {
        alias: version
        for version in registry.versions(root)
        if version.name == name
        for alias in version.aliases
    }
    logged: dict[str, str | None] = dict.fromkeys(ALIASES)
    last = "the log, which is empty,"
    if entries:
        logged = {"champion": entries[-1].champion, "previous": entries[-1].previous}
        last = f"the log's last entry ({entries[-1].summary})"
    messages = []
    for alias, version in logged.items():
        actual, expected = aliases.get(alias), _hash(version) if version else None
        if (actual.hash if actual else None) != expected:
            now = f"is {actual.name}/{actual.version}" if actual else "is not set"
            names = version.partition(" ")[0] if version else "none"
            messages.append(f"the alias '{alias}' {now}, but {last} names {names}: moved by hand")
    try:
        if _state(root) != [_hash(version) if version else None for version in logged.values()]:
            messages.append(f"{STATE} differs from {last.rstrip(',')}: changed by hand")
    except DecisionError as error:
        messages.append(str(error))
    return messages


def _version(root: Path, name: str, reference: str) -> Version:
    matches = [version for version in registry.versions(root, _hash(reference)) if version.name == name]
    if not matches:
        raise DecisionError(
            f"{reference}: is not in this registry; set MLFLOW_TRACKING_URI to the one that has it"
        )
    return matches[0]


def _reference(version: Version) -> str:
    """A version in the log: `NAME/N HASH`."""
    return f"{version.name}/{version.version} {version.hash}"


def _hash(reference: str) -> str:
    return reference.partition(" ")[2]
