"""What the service is for. Each module here is found by itself: its blueprints, its tables and its jobs."""

from importlib import import_module
from pkgutil import iter_modules

from flask import Blueprint, Flask


def init_app(app: Flask) -> None:
    """Register the blueprints of every module, whatever they are called there."""
    for name in sorted(module.name for module in iter_modules(__path__, f"{__name__}.")):
        for value in vars(import_module(name)).values():
            if isinstance(value, Blueprint) and value not in app.blueprints.values():
                app.register_blueprint(value)
