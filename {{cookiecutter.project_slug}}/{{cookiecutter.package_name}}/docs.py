"""The description of the API for programs, /openapi.json, and for people, /docs."""

from importlib.resources import files
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template

from {{ cookiecutter.package_name }} import about, api

blueprint = Blueprint(
    "docs", __name__, static_folder=str(files("flask_swagger_ui") / "dist"), static_url_path="/docs/assets"
)


@blueprint.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """Describe the API."""
    return api.description(current_app)


@blueprint.get("/docs")
def page() -> Response:
    """Show the API, and let people try it. Swagger UI sets styles from its script, and has its icons as data."""
    response = make_response(render_template("docs.html", about=about))
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    )
    return response
