"""What browsers are told to refuse, with a nonce for scripts in pages, and what names the service answers to."""

import secrets
from wsgiref.types import WSGIEnvironment

from flask import Flask, Request, abort, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.sansio.utils import host_is_trusted

from {{ cookiecutter.package_name }}.core.settings import Settings

HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
NONCE = "csp_nonce"
"""Where the environment of a request has it."""


class Sessions(SecureCookieSessionInterface):
    """Flask's sessions; the clients of an API, who send no cookie, do not wait for what would read one."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request."""
        has_none = app.secret_key and "HTTP_COOKIE" not in request.environ
        return SecureCookieSession() if has_none else super().open_session(app, request)


def init_app(app: Flask) -> None:
    """Refuse other names, and give `csp_nonce()` to templates."""
    settings: Settings = app.config["SETTINGS"]
    app.session_interface = Sessions()
    app.add_template_global(csp_nonce)
    if hosts := [host.strip() for host in settings.allowed_hosts.lower().split(",") if host.strip()]:

        @app.before_request
        def refuse_other_names() -> None:
            if request.endpoint != "health.readyz" and not host_is_trusted(request.host.lower(), hosts):
                abort(400, "This service has another name.")


def headers(environ: WSGIEnvironment, settings: Settings) -> list[tuple[str, str]]:
    """Return what is sent with every answer that does not say it itself."""
    nonce = f" 'nonce-{environ[NONCE]}'" if NONCE in environ else ""
    sent = [("Content-Security-Policy", settings.content_security_policy.replace(" 'nonce'", nonce)), *HEADERS]
    if settings.hsts_seconds and settings.is_production and environ["wsgi.url_scheme"] == "https":
        sent.append(("Strict-Transport-Security", f"max-age={settings.hsts_seconds}"))
    return sent


def csp_nonce() -> str:
    """Return the value of the attribute `nonce` that lets a script or a style stand in this page.

    A page that is streamed calls it before its first part is sent.
    """
    if NONCE not in request.environ:
        request.environ[NONCE] = secrets.token_urlsafe(16)
    nonce: str = request.environ[NONCE]
    return nonce
