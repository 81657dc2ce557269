"""What browsers are told to refuse, with a nonce for scripts in pages, and what names the service answers to."""

import secrets

from flask import Flask, Request, Response, abort, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.sansio.utils import host_is_trusted

from {{ cookiecutter.package_name }}.core.settings import Settings

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Sessions(SecureCookieSessionInterface):
    """Flask's sessions; the clients of an API, who send no cookie, do not wait for what would read one."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the session of a request."""
        has_none = app.secret_key and "HTTP_COOKIE" not in request.environ
        return SecureCookieSession() if has_none else super().open_session(app, request)


def init_app(app: Flask) -> None:
    """Send the headers with every answer that has none of its own, and give `csp_nonce()` to templates."""
    settings: Settings = app.config["SETTINGS"]
    app.session_interface = Sessions()
    app.add_template_global(csp_nonce)
    hosts = [host.strip() for host in settings.allowed_hosts.split(",") if host.strip()]

    @app.before_request
    def refuse_other_names() -> None:
        if hosts and request.endpoint != "health.readyz" and not host_is_trusted(request.host, hosts):
            abort(400, "This service has another name.")

    @app.after_request
    def protect(response: Response) -> Response:
        nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
        headers = {"Content-Security-Policy": settings.content_security_policy.replace(" 'nonce'", nonce), **HEADERS}
        if settings.hsts_seconds and settings.is_production and request.is_secure:
            headers["Strict-Transport-Security"] = f"max-age={settings.hsts_seconds}"
        own = {name.lower() for name, _ in response.headers}
        response.headers.extend([header for header in headers.items() if header[0].lower() not in own])
        return response


def csp_nonce() -> str:
    """Return the value of the attribute `nonce` that lets a script or a style stand in this page.

    A page that is streamed calls it before its first part is sent.
    """
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    nonce: str = g.csp_nonce
    return nonce
