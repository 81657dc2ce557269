"""What carries the service, whatever it is for. It is the template's: updates renew it."""

import logging.config
from collections.abc import Mapping

from apiflask import APIFlask

from {{ cookiecutter.package_name }} import about
from {{ cookiecutter.package_name }}.core import (
    api,
    assets,
{%- if cookiecutter.database != "none" %}
    database,
{%- endif %}
    docs,
    errors,
    health,
{%- if cookiecutter.background_jobs == "celery" %}
    jobs,
{%- endif %}
    logs,
    metrics,
    middleware,
    openapi,
    security,
{%- if cookiecutter.error_tracking == "sentry" %}
    sentry,
{%- endif %}
    tracing,
)
from {{ cookiecutter.package_name }}.core.settings import Settings


def make_app(settings: Settings, config: Mapping[str, object] | None = None) -> APIFlask:
    """Return an application that has all but what the service is for."""
    package = __name__.partition(".")[0]  # where `static` and `templates` are
    secure = settings.session_cookie_secure
    app = APIFlask(package, title=about.NAME, version=about.API_VERSION, spec_path=None, docs_path=None)
    app.config.update(
        openapi.CONFIG,
        SETTINGS=settings,
        SECRET_KEY=settings.secret_key.get_secret_value(),
        MAX_CONTENT_LENGTH=settings.max_content_length,
        MAX_FORM_MEMORY_SIZE=settings.max_form_memory_size,
        SESSION_COOKIE_SECURE=settings.is_production if secure is None else secure,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.update(config or {})
    logging.config.dictConfig(logs.log_config(settings))
    metrics.init_app(app)
    app.wsgi_app = middleware.around(app.wsgi_app, settings)  # type: ignore[assignment,method-assign]

{%- if cookiecutter.error_tracking == "sentry" %}
    sentry.init_app(app)
{%- endif %}
    errors.init_app(app)
    security.init_app(app)
    assets.init_app(app)
    api.init_app(app)
    openapi.init_app(app)
{%- if cookiecutter.database != "none" %}
    database.init_app(app)
{%- endif %}
{%- if cookiecutter.background_jobs == "celery" %}
    jobs.init_app(app)
{%- endif %}
    health.init_app(app)
    if settings.docs:
        docs.init_app(app)
    tracing.init_app(app)
    return app
