"""No generated request causes a server error; schemathesis generates them from the API description."""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

from alignloop.labeling.database import LabelingDatabase
from tests.web.conftest import HOST, SignedInClient, publish

TEXT: dict[str, Any] = {"type": "string"}
RANK = {"enum": ["", "0", "1", "2", "3", "9", "²", "x"]}
FORMS: dict[str, dict[str, Any]] = {  # the fields of the forms besides the session's key
    "/item/{assignment}/rate": {
        "place": RANK,
        "number": RANK,
        "overall": RANK,
        "hallucination": TEXT,
        "active": TEXT,
    },
    "/item/{assignment}/rank": {
        "rank-A": RANK,
        "rank-B": RANK,
        "rank-C": RANK,
        "about-category": TEXT,
        "about-ambiguous": TEXT,
        "flag-A-sexual": TEXT,
        "active": TEXT,
    },
    "/item/{assignment}/write": {"turn-0": TEXT, "turn-1": TEXT, "more": TEXT, "active": TEXT},
    "/item/{assignment}/skip": {"reason": TEXT, "words": TEXT},
    "/item/{assignment}/vote": {"better": TEXT},
    "/review/decide": {"verb": TEXT, "candidate": TEXT, "reason": TEXT},
    "/admin/invite": {"name": TEXT, "role": TEXT},
    "/sign-in": {"name": TEXT, "password": TEXT},
    "/invitation/{secret}": {"password": TEXT},
}


def described(app: FastAPI) -> dict[str, Any]:
    """FastAPI's API description with the forms added and without the sign-out."""
    found = app.openapi()
    for path, fields in FORMS.items():
        schema = {"type": "object", "properties": fields}
        found["paths"][path]["post"]["requestBody"] = {
            "content": {"application/x-www-form-urlencoded": {"schema": schema}}
        }
    del found["paths"]["/sign-out"]
    return found


@pytest.fixture
def boss(app: FastAPI, database: LabelingDatabase) -> SignedInClient:
    publish(database, 3)
    return SignedInClient(app, database, "boss", role="admin")


@pytest.fixture
def api(app: FastAPI, boss: SignedInClient) -> Any:
    description = described(app)
    app.add_api_route("/description", lambda: JSONResponse(description), include_in_schema=False)
    return schemathesis.openapi.from_asgi("/description", app, headers={"Host": "127.0.0.1"})


BOUNDED = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
    ],
)


def test_no_request_causes_a_server_error(api: Any, boss: SignedInClient) -> None:
    """Send requests as an administrator, mostly for the open assignment, with the session's key."""
    signed = {"Host": "127.0.0.1:4300", "Origin": HOST, "Cookie": f"alignloop={boss.cookies['alignloop']}"}
    for operation in api.get_all_operations():

        @BOUNDED
        @given(case=operation.ok().as_strategy())
        def sent(case: schemathesis.Case) -> None:
            if case.path_parameters and case.path_parameters.get("assignment", 0) % 3:
                case.path_parameters["assignment"] = boss.work()
            if isinstance(case.body, dict):
                case.body["key"] = boss.key
            case.validate_response(case.call(headers=signed), checks=[not_a_server_error])

        sent()


def test_every_form_is_described(app: FastAPI) -> None:
    found = described(app)
    posts = {path for path, verbs in found["paths"].items() if "post" in verbs}
    keyed = {
        "/item/{assignment}/draft",
        "/item/{assignment}/reopen",
        "/item/{assignment}/keep",
        "/admin/labelers/{name}/{verb}",
        "/admin/rounds/{name}/close",
    }  # JSON, or the key alone
    assert posts == set(FORMS) | keyed
