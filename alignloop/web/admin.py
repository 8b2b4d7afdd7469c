"""The administrator's pages: progress of rounds, labeler agreement, invitations, and the audit."""

from typing import get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import accounts, activity, qualification, quality, rounds
from alignloop.labeling.schema import Role
from alignloop.labeling.workload import round_workload
from alignloop.web.auth import Administrator, CheckedForm, get_database
from alignloop.web.forms import PathName, QueryNumber
from alignloop.web.rendering import render_page
from alignloop.web.settings import get_settings

router = APIRouter(prefix="/admin")
STATUSES = {"pause": "paused", "exclude": "excluded", "readmit": "active"}


@router.get("")
def overview(request: Request, account: Administrator, link: str = "") -> Response:
    """The rounds and the labelers."""
    return _overview(request)


def _overview(request: Request, link: str = "", invited: str = "") -> Response:
    with get_database(request).reading() as session:
        progress = [
            (rounds.progress(session, each.id), quality.round_alpha(session, each.id))
            for each in rounds.all_rounds(session)
        ]
        people = get_settings(request).people
        left = {
            each.round: str(round_workload(session, each.round, people))
            for each, _ in progress
            if each.missing and not each.closed
        }
        labelers = quality.labeler_quality(session)
    return render_page(
        request,
        "admin.html",
        rounds=progress,
        left=left,
        labelers=labelers,
        link=link,
        invited=invited,
        statuses=STATUSES,
    )


@router.post("/invite")
def invite(request: Request, account: Administrator, form: CheckedForm) -> Response:
    """Create an invitation link, which is shown once."""
    name = accounts.account_name(form.get("name", ""))
    roles: dict[str, Role] = {role: role for role in get_args(Role)}
    role = roles.get(form.get("role", ""), "labeler")
    secret = accounts.invite(get_database(request), name, role, account.id)
    return _overview(request, f"{request.app.state.settings.url.rstrip('/')}/invitation/{secret}", name)


@router.post("/labelers/{name}/{verb}")
def set_status(
    request: Request, name: PathName, verb: str, account: Administrator, form: CheckedForm
) -> Response:
    """Pause, exclude or readmit a labeler."""
    if verb not in STATUSES:
        raise HTTPException(404, "There is no such page.")
    if name == account.id:
        raise HTTPException(400, "You cannot do this to your own account: ask another administrator.")
    qualification.set_status(get_database(request), name, STATUSES[verb], account.id)  # pyright: ignore[reportArgumentType]
    return RedirectResponse("/admin", 303)


@router.post("/rounds/{name}/close")
def close(request: Request, name: PathName, account: Administrator, form: CheckedForm) -> Response:
    """Close a round with the rankings so far."""
    with get_database(request).writing() as session:
        if not rounds.progress(session, name).done:
            raise HTTPException(400, "This round has no ranking yet: it cannot be closed.")
        rounds.close(session, name, account.id)
    return RedirectResponse("/admin", 303)


@router.get("/audit")
def audit(request: Request, account: Administrator, before: QueryNumber | None = None) -> Response:
    """The audit: every action, the newest first."""
    with get_database(request).reading() as session:
        lines = activity.audit_lines(session, before)
    return render_page(request, "audit.html", lines=lines)
