"""Errors that nobody expected are sent to Sentry, when SENTRY_DSN says where that is."""

from typing import Any

from flask import Flask

from {{ cookiecutter.package_name }}.core.settings import Settings


def init_app(app: Flask) -> None:
    """Report what goes wrong, without the headers, query and body of the request. Without a DSN do nothing."""
    settings: Settings = app.config["SETTINGS"]
    if settings.sentry_dsn:
        import sentry_sdk

        sentry_sdk.init(
            dsn=settings.sentry_dsn.get_secret_value(),
            release=settings.app_version,
            environment=settings.app_env,
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
            before_send=without_what_clients_sent,
        )


def without_what_clients_sent(event: Any, _hint: object) -> Any:
    """Return an event with the method and the URL of its request alone."""
    if "request" in event:
        event["request"] = {key: value for key, value in event["request"].items() if key in ("method", "url")}
    return event
