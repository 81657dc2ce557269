"""Errors that nobody expected are sent to Sentry, when SENTRY_DSN says where that is."""

from flask import Flask

from {{ cookiecutter.package_name }}.settings import Settings


def init_app(app: Flask) -> None:
    """Report what goes wrong, without what clients sent. Without a DSN do nothing."""
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
        )
