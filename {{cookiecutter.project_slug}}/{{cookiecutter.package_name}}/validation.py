"""Checks what clients send, and turns it into typed models."""

from typing import Self

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import LengthRequired

from {{ cookiecutter.package_name }}.errors import InvalidRequest


def require_content_length() -> None:
    """Refuse a body of unknown length, which the limit on bodies would cut off instead of refusing it."""
    if "Transfer-Encoding" in request.headers:
        raise LengthRequired("Send the body with a Content-Length.")


class Query(BaseModel):
    """Base of the models for query strings."""

    @classmethod
    def from_request(cls) -> Self:
        """Return the query of the current request.

        Raises:
            InvalidRequest: a value does not fit; it becomes a 422 problem that names each field.
        """
        try:
            return cls.model_validate(request.args.to_dict())
        except ValidationError as error:
            errors = [
                {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            raise InvalidRequest(errors) from None
