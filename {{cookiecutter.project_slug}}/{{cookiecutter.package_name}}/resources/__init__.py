"""What the service is for. Modules and packages here are found by themselves: blueprints, tables, jobs, `init_app`."""

from importlib import import_module
from pkgutil import walk_packages

from flask import Blueprint, Flask


def init_app(app: Flask) -> None:
    """Register the blueprints of every module, whatever they are called there, and let it do more where it wants to."""
    names = sorted(found.name for found in walk_packages(__path__, f"{__name__}."))
    modules = [import_module(name) for name in names]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Blueprint)]
    inner = [child for blueprint in found for child, _ in blueprint._blueprints]  # they come with the outer one
    for blueprint in dict.fromkeys(found):
        if blueprint not in inner:
            app.register_blueprint(blueprint)
    for module in modules:
        if getattr(getattr(module, "init_app", None), "__module__", "") == module.__name__:
            module.init_app(app)
