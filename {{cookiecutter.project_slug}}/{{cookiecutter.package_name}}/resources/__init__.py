"""What the service is for. Each module here is found by itself: its blueprints, tables and jobs, and its `init_app`."""

from importlib import import_module
from pkgutil import iter_modules

from flask import Blueprint, Flask


def init_app(app: Flask) -> None:
    """Register the blueprints of every module, whatever they are called there, and let it do more where it wants to."""
    names = sorted(found.name for found in iter_modules(__path__, f"{__name__}."))
    modules = [import_module(name) for name in names]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Blueprint)]
    inner = [child for blueprint in found for child, _ in blueprint._blueprints]  # they come with the outer one
    for blueprint in dict.fromkeys(found):
        if blueprint not in inner:
            app.register_blueprint(blueprint)
    for module in modules:
        if hasattr(module, "init_app"):
            module.init_app(app)
