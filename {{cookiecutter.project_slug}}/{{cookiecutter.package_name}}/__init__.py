"""The application factory: everything the service is made of is put together here."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from {{ cookiecutter.package_name }} import (
    api,
{%- if cookiecutter.database != "none" %}
    database,
{%- endif %}
    docs,
    errors,
    greetings,
    health,
{%- if cookiecutter.background_jobs == "celery" %}
    jobs,
{%- endif %}
    logs,
    metrics,
{%- if cookiecutter.database != "none" %}
    notes,
{%- endif %}
    pages,
{%- if cookiecutter.background_jobs == "celery" %}
    postcards,
{%- endif %}
{%- if cookiecutter.error_tracking == "sentry" %}
    sentry,
{%- endif %}
    tracing,
)
from {{ cookiecutter.package_name }}.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application, configured by the environment unless settings are given.

    Raises:
        SettingsError: the environment holds values the service must not start with.
    """
    settings = settings or load_settings()
    app = Flask(__name__)
    app.config.from_mapping(
        SETTINGS=settings,
        SECRET_KEY=settings.secret_key.get_secret_value(),
        MAX_CONTENT_LENGTH=settings.max_content_length,
        SESSION_COOKIE_SECURE=settings.is_production,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]

    logs.init_app(app)
    metrics.init_app(app)
{%- if cookiecutter.error_tracking == "sentry" %}
    sentry.init_app(app)
{%- endif %}
    errors.init_app(app)
    api.init_app(app)
{%- if cookiecutter.database != "none" %}
    database.init_app(app)
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
    jobs.init_app(app)
{%- endif %}
    app.register_blueprint(health.blueprint)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(docs.blueprint)
    app.register_blueprint(greetings.blueprint)
{%- if cookiecutter.database != "none" %}
    app.register_blueprint(notes.blueprint)
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
    app.register_blueprint(postcards.blueprint)
{%- endif %}
    tracing.init_app(app)
    return app
