"""Errors as problem+json documents (RFC 9457)."""

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from {{ cookiecutter.package_name }}.logs import request_id


class InvalidRequest(UnprocessableEntity):
    """What the client sent does not fit; `errors` names each field and what is wrong with it."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("The request is not valid.")
        self.errors = errors


def init_app(app: Flask) -> None:
    """Answer every error, expected or not, with a problem document."""
    app.register_error_handler(HTTPException, problem)


def problem(error: HTTPException) -> Response:
    """Return the problem document for an error; its headers, such as Allow and Retry-After, are kept."""
    response = Response(status=error.code, headers=error.get_headers())
    document: dict[str, object] = {
        "type": "about:blank",
        "title": error.name,
        "status": response.status_code,
        "detail": error.description,
        "instance": request.path,
        "request_id": request_id.get(),
    }
    if isinstance(error, InvalidRequest):
        document["errors"] = error.errors
    response.data = json.dumps(document)
    response.content_type = "application/problem+json"
    return response
