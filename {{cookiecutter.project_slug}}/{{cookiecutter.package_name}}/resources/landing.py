"""The page that people see first. Replace it with yours."""

from flask import Blueprint, current_app, render_template

from {{ cookiecutter.package_name }} import about

blueprint = Blueprint("landing", __name__)


@blueprint.get("/")
def page() -> str:
    """Show what this service is, which version runs, and where to go from here."""
    return render_template("index.html", about=about, version=current_app.config["SETTINGS"].app_version)
