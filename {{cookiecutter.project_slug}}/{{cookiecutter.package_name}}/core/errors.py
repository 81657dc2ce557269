"""Errors: problem+json documents (RFC 9457) for programs, the page `error.html` for browsers."""

import logging
from collections.abc import Mapping

from apiflask import APIFlask, HTTPError
from apiflask.helpers import get_reason_phrase
from flask import Response, json, render_template, request
from pydantic import BaseModel
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.core.logs import request_id

logger = logging.getLogger(__name__)
PROGRAMS = ("application/problem+json", "application/json")
"""What those accept who get a problem and no page; who accepts anything gets one too."""


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a request failed."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    instance: str
    request_id: str | None = None
    errors: list[FieldError] | None = None


class InvalidRequest(UnprocessableEntity):
    """What the client sent does not fit; `errors` names each field and what is wrong with it."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__("The request is not valid.")
        self.errors = errors


def init_app(app: APIFlask) -> None:
    """Answer every error, expected or not, with a problem or a page."""
    app.error_processor(problem_of_library)
    app.register_error_handler(HTTPException, problem)


def problem_of_library(error: HTTPError) -> Response:
    """Return the answer to an error that APIFlask raises: a failed login, or one of its `abort()`."""
    title = get_reason_phrase(error.status_code, "Error")
    response = Response(status=error.status_code, headers=Headers(error.headers))
    return answer(response, title, error.message, named(error.detail), error.extra_data)


def named(detail: object) -> list[FieldError]:
    """Return what APIFlask says of fields, by place and field, as errors."""
    if not isinstance(detail, dict):
        return []
    fields = [item for place in detail.values() if isinstance(place, dict) for item in place.items()]
    return [FieldError(field=str(field), message=str(text)) for field, texts in fields for text in texts]


def problem(error: HTTPException) -> Response:
    """Return the answer to an error; its headers, such as Allow and Retry-After, are kept."""
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    errors = error.errors if isinstance(error, InvalidRequest) else []
    response = Response(status=error.code, headers=error.get_headers())
    return answer(response, error.name, str(error.description), errors, {})


def answer(
    response: Response, title: str, detail: str | None, errors: list[FieldError], more: Mapping[str, object]
) -> Response:
    """Return a response with a page for who prefers one, and can be shown it, else with the problem."""
    document = Problem(
        title=title,
        status=response.status_code,
        detail=detail,
        instance=request.script_root + request.path,
        request_id=request_id.get(),
        errors=errors or None,
    )
    response.vary.add("Accept")
    if request.accept_mimetypes.best_match([*PROGRAMS, "text/html"]) == "text/html":
        try:
            response.data = render_template("error.html", about=about, problem=document)
            response.content_type = "text/html; charset=utf-8"
            return response
        except Exception:
            logger.exception("the page of an error cannot be shown")
    response.data = json.dumps({**more, **document.model_dump(exclude_none=True)})
    response.content_type = "application/problem+json"
    return response
