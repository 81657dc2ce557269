"""The pages for people."""

from flask import Blueprint, Response, current_app, render_template

from {{ cookiecutter.package_name }} import about

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> str:
    """Show what this service is, which version runs, and where to go from here."""
    version = current_app.config["SETTINGS"].app_version
    return render_template("index.html", about=about, version=version)


@blueprint.after_app_request
def protect(response: Response) -> Response:
    """Let browsers load only what the service itself serves, as the type it says."""
    response.headers.setdefault("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
