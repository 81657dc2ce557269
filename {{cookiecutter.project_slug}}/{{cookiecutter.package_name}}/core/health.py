"""Health: `/livez` says that the process answers, `/readyz` that it can do its work.

In production, core/serving.py answers `/livez` without the application, and gives `/readyz` a thread of its own.
"""

import logging
from collections.abc import Callable

from flask import Blueprint, Flask, current_app
from werkzeug.exceptions import ServiceUnavailable

blueprint = Blueprint("health", __name__)
logger = logging.getLogger(__name__)

Check = Callable[[], None]
"""Raises when what it checks cannot be used."""


def init_app(app: Flask) -> None:
    """Serve both."""
    app.register_blueprint(blueprint)


def add_check(app: Flask, name: str, check: Check) -> None:
    """Make readiness depend on a check."""
    app.extensions.setdefault("readiness", {})[name] = check


@blueprint.get("/livez")
def livez() -> dict[str, str]:
    """Answer as long as the process can; a failure means that it should be restarted."""
    return {"status": "alive"}


@blueprint.get("/readyz")
def readyz() -> dict[str, object]:
    """Answer 200 when every check passes, else 503: traffic should go elsewhere for now."""
    checks: dict[str, Check] = current_app.extensions.get("readiness", {})
    failed = []
    for name, check in checks.items():
        try:
            check()
        except Exception:
            logger.warning("readiness check %s failed", name, exc_info=True)
            failed.append(name)
    if failed:
        raise ServiceUnavailable(f"Not ready: {', '.join(failed)}.")
    return {"status": "ready", "checks": list(checks)}
