"""What cookiecutter imports by name. It hands over to the template that is being rendered.

Which `layercake` a process imports is chance: it may be installed, or of the release that an update (cruft) rendered
first. What renders is always the template's own, executed anew for each environment.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension

from layercake.loading import anew


class TemplateExtension(Extension):
    """Stored in generated projects by name, and imported for every later release: never rename it."""

    def __new__(cls, environment: Environment) -> Any:
        """Return the extension of the template that is being rendered."""
        with anew(template(), "layercake"):
            return importlib.import_module("layercake.rendering").Rendering(environment)


def template() -> Path:
    """Return the template that is being rendered: cookiecutter and cruft add its folder at the end of `sys.path`.

    One that was named by a relative path is not found there by its hooks: they are rendered inside of it.
    """
    for folder in map(Path, (*reversed(sys.path), ".")):
        if (folder / "cookiecutter.json").is_file() and (folder / "layercake" / "rendering.py").is_file():
            return folder.resolve()
    return Path(__file__).resolve().parent.parent
