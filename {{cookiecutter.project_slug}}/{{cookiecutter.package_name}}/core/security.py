"""What browsers are told to refuse: the Content-Security-Policy of every answer, and a nonce for scripts in pages."""

import secrets

from flask import Flask, Response, g

from {{ cookiecutter.package_name }}.core.settings import Settings


def init_app(app: Flask) -> None:
    """Send the headers with every answer that has none of its own, and give `csp_nonce()` to templates."""
    settings: Settings = app.config["SETTINGS"]
    app.add_template_global(csp_nonce)

    @app.after_request
    def protect(response: Response) -> Response:
        nonce = f" 'nonce-{g.csp_nonce}'" if "csp_nonce" in g else ""
        policy = settings.content_security_policy.replace(" 'nonce'", nonce)
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response


def csp_nonce() -> str:
    """Return the value of the attribute `nonce` that lets a script or a style stand in this page.

    A page that is streamed calls it before its first part is sent.
    """
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    nonce: str = g.csp_nonce
    return nonce
