"""The administrator's pages: how rounds go, how labelers agree, who may work, and the audit."""

from typing import get_args

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from alignloop.labeling import accounts, activity, qualification, quality, rounds
from alignloop.labeling.schema import Role
from alignloop.web.auth import Administrator, Asked, Named, OwnForm, store_of
from alignloop.web.rendering import page

router = APIRouter(prefix="/admin")
STANDINGS = {"pause": "paused", "exclude": "excluded", "readmit": "active"}


@router.get("")
def overview(request: Request, guest: Administrator, link: str = "") -> Response:
    """Rounds and labelers."""
    return _overview(request)


def _overview(request: Request, link: str = "", whose: str = "") -> Response:
    with store_of(request).reading() as session:
        found = [
            (rounds.progress(session, each.id), quality.round_alpha(session, each.id))
            for each in rounds.all_rounds(session)
        ]
        records = quality.records(session)
    return page(
        request, "admin.html", rounds=found, records=records, link=link, whose=whose, standings=STANDINGS
    )


@router.post("/invite")
def invite(request: Request, guest: Administrator, form: OwnForm) -> Response:
    """Make a personal link, shown once."""
    name = form.get("name", "").strip()
    name = name if name.startswith("labeler-") else f"labeler-{name}"
    roles: dict[str, Role] = {role: role for role in get_args(Role)}
    role = roles.get(form.get("role", ""), "labeler")
    secret = accounts.invite(store_of(request), name, role, guest.id)
    return _overview(request, f"{request.app.state.settings.url.rstrip('/')}/invitation/{secret}", name)


@router.post("/labelers/{name}/{verb}")
def stand(request: Request, name: Named, verb: str, guest: Administrator, form: OwnForm) -> Response:
    """Pause, exclude or readmit."""
    if verb not in STANDINGS:
        raise HTTPException(404, "There is no such page.")
    if name == guest.id:
        raise HTTPException(400, "Nobody can do this to themselves: ask another administrator.")
    qualification.stand(store_of(request), name, STANDINGS[verb], guest.id)  # pyright: ignore[reportArgumentType]
    return RedirectResponse("/admin", 303)


@router.post("/rounds/{name}/close")
def close(request: Request, name: Named, guest: Administrator, form: OwnForm) -> Response:
    """End a round with what is there."""
    with store_of(request).writing() as session:
        if not rounds.progress(session, name).done:
            raise HTTPException(400, "Nothing of this round is ranked yet: it cannot be closed.")
        rounds.close(session, name, guest.id)
    return RedirectResponse("/admin", 303)


@router.get("/audit")
def audit(request: Request, guest: Administrator, before: Asked | None = None) -> Response:
    """Every action, the newest first."""
    with store_of(request).reading() as session:
        lines = activity.audit(session, before)
    return page(request, "audit.html", lines=lines)
