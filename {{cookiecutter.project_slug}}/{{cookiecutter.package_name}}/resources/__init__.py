"""What the service is for. Each module here is found by itself: its blueprints, tables and jobs, and its `init_app`."""

from importlib import import_module
from pkgutil import iter_modules

from flask import Blueprint, Flask


def init_app(app: Flask) -> None:
    """Register the blueprints of every module, whatever they are called there, and let it do more where it wants to."""
    for name in sorted(found.name for found in iter_modules(__path__, f"{__name__}.")):
        module = import_module(name)
        for value in vars(module).values():
            if isinstance(value, Blueprint) and value not in app.blueprints.values():
                app.register_blueprint(value)
        if hasattr(module, "init_app"):
            module.init_app(app)
