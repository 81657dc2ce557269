"""The description of the API for programs, /openapi.json, and for people, /docs."""

from importlib.resources import files
from typing import Any

from apiflask import APIFlask
from flask import Blueprint, Response, current_app, make_response, render_template, request

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.core.openapi import description

swagger_ui = str(files("flask_swagger_ui") / "dist")
assets = Blueprint("docs_assets", __name__, static_folder=swagger_ui, static_url_path="/docs/assets")
docs = Blueprint("docs", __name__, static_folder="static", static_url_path="/docs/page", template_folder="templates")


def init_app(app: APIFlask) -> None:
    """Serve both."""
    app.register_blueprint(assets)
    app.register_blueprint(docs)


@docs.get("/openapi.json")
def openapi() -> dict[str, Any]:
    """Describe the API."""
    document = description(current_app)  # type: ignore[arg-type]
    return document | {"servers": [{"url": request.script_root}]} if request.script_root else document


@docs.get("/docs")
def page() -> Response:
    """Show the API, and let people try it. Swagger UI sets styles from its script, and has its icons as data."""
    response = make_response(render_template("docs.html", about=about))
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    )
    return response
