"""Errors as objects of the OpenAI API: `{"error": {"message", "type", "param", "code"}}`."""

import logging
from collections.abc import Mapping

import orjson
from fastapi import Request, Response

from alignloop.core.chat_template import TokenizerError
from alignloop.labeling.api_keys import InvalidKey, LimitExceeded, MissingScope
from alignloop.labeling.database import DatabaseBusyError, DiskFullError
from alignloop.serving.engine import RETRY_SECONDS, NotServing, QueueFull, ServerRefused, ServerUnavailable
from alignloop.serving.model_pool import ModelNotFound, ModelsInUse
from alignloop.web.rendering import error_page
from alignloop.web.rule_checks import NotChecked

API = "/v1/"
INVALID = "invalid_request_error"
log = logging.getLogger(__name__)


class ApiError(Exception):
    """What a client is told."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        self.body = {"error": {"message": message, "type": type, "param": param, "code": code}}

    def response(self) -> Response:
        """The response that says so."""
        return Response(orjson.dumps(self.body), self.status, self.headers, "application/json")


def api_error(error: Exception) -> ApiError:
    """What a client is told of an error."""
    if isinstance(error, ApiError):
        return error
    words, retry = str(error), {"Retry-After": str(RETRY_SECONDS)}
    match error:
        case ModelNotFound():
            return ApiError(404, words, param="model", code="model_not_found")
        case QueueFull() | ModelsInUse():
            return ApiError(429, words, type="server_overloaded", code="queue_full", headers=retry)
        case NotServing():
            return ApiError(503, words, type="server_error", code="ending", headers=retry)
        case ServerUnavailable():
            return ApiError(503, words, type="server_error", code="engine_unavailable", headers=retry)
        case ServerRefused():
            return ApiError(502, words, type="server_error", code="engine_failed")
        case InvalidKey():
            headers = {"WWW-Authenticate": "Bearer"}
            return ApiError(401, words, code="invalid_api_key", headers=headers)
        case MissingScope():
            return ApiError(403, words, type="permission_error", code="missing_scope")
        case LimitExceeded():
            headers = {"Retry-After": str(error.seconds)}
            return ApiError(429, words, type="requests", code="rate_limit_exceeded", headers=headers)
        case NotChecked():
            return ApiError(503, words, type="server_error", code="rule_failed", headers=retry)
        case TokenizerError():
            return ApiError(400, words, param="messages", code="invalid_value")
        case DatabaseBusyError() | DiskFullError():
            words = "The server's database cannot be used now."
            return ApiError(503, words, type="server_error", code="database", headers=retry)
    log.error("a request failed", exc_info=error)
    return ApiError(500, "The server failed; its log has the cause.", type="server_error", code="failed")


def refusal(request: Request, status: int, words: str) -> Response:
    """One message as an error object for programs, and as a page for people."""
    if request.url.path.startswith(API):
        codes = {401: "invalid_api_key", 404: "unknown_url", 405: "method_not_allowed", 413: "too_large"}
        kind = "server_error" if status >= 500 else INVALID
        return ApiError(status, words, type=kind, code=codes.get(status)).response()
    return error_page(request, status, words)
