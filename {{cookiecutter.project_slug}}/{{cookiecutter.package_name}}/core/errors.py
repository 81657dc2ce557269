"""Errors: problem+json documents (RFC 9457) for programs, the page `error.html` for browsers."""

from apiflask import APIFlask, HTTPError
from flask import Response, render_template, request
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException, UnprocessableEntity, default_exceptions

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.core.logs import request_id

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
    found = default_exceptions[error.status_code](error.message)
    return problem(found, error.headers)


def problem(error: HTTPException, headers: object = ()) -> Response:
    """Return the answer to an error; its headers, such as Allow and Retry-After, are kept."""
    response = Response(status=error.code, headers=error.get_headers())
    response.headers.extend(headers)  # type: ignore[arg-type]
    response.vary.add("Accept")
    document = Problem(
        title=error.name,
        status=response.status_code,
        detail=error.description,
        instance=request.path,
        request_id=request_id.get(),
        errors=error.errors if isinstance(error, InvalidRequest) else None,
    )
    if request.accept_mimetypes.best_match([*PROGRAMS, "text/html"]) == "text/html":
        response.data = render_template("error.html", about=about, problem=document)
        response.content_type = "text/html; charset=utf-8"
    else:
        response.data = document.model_dump_json(exclude_none=True)
        response.content_type = "application/problem+json"
    return response
