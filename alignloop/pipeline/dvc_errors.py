"""DVC's errors as errors of this project, each with its cause and its remedy."""

import errno
from pathlib import Path

from dvc.exceptions import DvcException, NotDvcRepoError, ReproductionError
from dvc.lock import LockError
from dvc.scm import SCMError

from alignloop.errors import AlignloopError
from alignloop.pipeline.checkout_lock import PipelineBusyError
from alignloop.pipeline.git import RevisionError, git


class VersioningError(AlignloopError):
    """DVC cannot do what is asked; the message says why and what to do."""


def as_alignloop_error(error: Exception, stage: str, root: Path) -> Exception:
    """An AlignloopError with cause and remedy for an error of DVC, git or the disk; others as they are."""
    chain: list[BaseException] = [error]
    while inner := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(inner)
    for link in chain:
        if isinstance(link, AlignloopError):
            return link
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            return VersioningError(
                f"{stage}: no disk space left under {root}; free some, for instance with `dvc gc --workspace`"
                " (it forgets all versions but the present one), and run the same command again: what "
                "was finished is kept"
            )
        if isinstance(link, LockError):
            return PipelineBusyError(
                f"{stage}: another run of this pipeline is at work in {root}; wait for its end. DVC "
                f"says: {link}"
            )
        if isinstance(link, NotDvcRepoError):
            return VersioningError(
                f"{root}: no DVC project here (.dvc is missing); run from the root of a clone"
            )
        if isinstance(link, SCMError):
            return _git_error(root)
    for link in chain:
        if isinstance(link, DvcException) and not isinstance(link, ReproductionError):
            return VersioningError(f"{stage}: DVC: {link}")
    return error


def _git_error(root: Path) -> AlignloopError:
    """What git itself says of the folder that DVC could not open."""
    try:
        git(root, "rev-parse", "--git-dir")
    except RevisionError as error:
        if "git config" in str(error):  # git refuses a folder of another account, and says what to do
            return error
    return VersioningError(
        f"{root}: no git repository here, and DVC needs one; clone the project, or `git init` and commit it"
    )
