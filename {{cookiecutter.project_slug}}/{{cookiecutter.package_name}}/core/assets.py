"""Files of pages, in `static/`: browsers keep them until another version of the service is deployed."""

from typing import Any

from flask import Flask, request

from {{ cookiecutter.package_name }}.core.settings import Settings

DAY, YEAR = 86_400, 31_536_000
"""Seconds."""


def init_app(app: Flask) -> None:
    """Name the version in the address of each file, in production. `url_for("static", ...)` does."""
    settings: Settings = app.config["SETTINGS"]
    if not settings.is_production:
        return

    @app.url_defaults
    def name_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and settings.app_version != "dev":
            values["version"] = settings.app_version

    def max_age(filename: str | None) -> int:
        return YEAR if request.args.get("version") == settings.app_version else DAY

    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = DAY
    app.get_send_file_max_age = max_age  # type: ignore[method-assign]
