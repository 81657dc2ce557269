"""Errors as problem+json documents (RFC 9457)."""

from flask import Flask, Response, request
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from {{ cookiecutter.package_name }}.logs import request_id


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


def init_app(app: Flask) -> None:
    """Answer every error, expected or not, with a problem document."""
    app.register_error_handler(HTTPException, problem)


def problem(error: HTTPException) -> Response:
    """Return the problem document for an error; its headers, such as Allow and Retry-After, are kept."""
    response = Response(status=error.code, headers=error.get_headers())
    document = Problem(
        title=error.name,
        status=response.status_code,
        detail=error.description,
        instance=request.path,
        request_id=request_id.get(),
        errors=error.errors if isinstance(error, InvalidRequest) else None,
    )
    response.data = document.model_dump_json(exclude_none=True)
    response.content_type = "application/problem+json"
    return response
