"""An application for the tests of serving: some of it never ends."""

import os
import time

from flask import request

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core import serving
from {{ cookiecutter.package_name }}.core.serving import Front
from {{ cookiecutter.package_name }}.core.settings import load_settings


def front() -> Front:
    """Return what gunicorn serves."""
    serving.GRACE_SECONDS = int(os.environ.get("GRACE_SECONDS", "25"))
    app = core.make_app(load_settings())

    @app.get("/quick")
    def quick() -> dict[str, str]:
        return {"script": request.script_root, "client": request.remote_addr or ""}

    @app.get("/sleep/<float:seconds>")
    def sleep(seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    @app.get("/stream")
    def stream() -> list[str]:
        return app.response_class(f"{part}\n" for part in range(3))  # type: ignore[return-value]

    @app.post("/length")
    def length() -> str:
        return str(len(request.get_data()))

    return Front(app)
