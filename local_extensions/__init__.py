"""What cookiecutter loads while it asks and renders: the filters, and which files a project has.

The modules beside this one are executed anew for every environment. An update (cruft) renders the old and the new
version of the template in one process, and Python would hand the old code to both.
"""

import json
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension

ROOT = Path(__file__).resolve().parent.parent
PROJECT_FOLDER = "{{cookiecutter.project_slug}}"
OPENINGS = ("{{", "{%", "{#")


class TemplateExtension(Extension):
    """Adds the template's filters. Stored in generated projects by name: never rename it."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        modules = {name: _executed(name) for name in ("answers.py", "files.py", "locks.py", "openapi.py")}
        for module in modules.values():
            environment.filters.update(module["FILTERS"])
        self.name_of = modules["files.py"]["name_of"]
        self.renders_files = False
        settings = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
        hooks = (path.read_text(encoding="utf-8") for path in (ROOT / "hooks").glob("*.py"))
        self.own = {text for text in (*settings.values(), *hooks) if isinstance(text, str)}
        self.paths = {str(path.relative_to(ROOT / PROJECT_FOLDER)) for path in (ROOT / PROJECT_FOLDER).rglob("*")}

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Check the answers before anything exists, and take each of them as text.

        The name of the project's folder is the first thing that is rendered after the questions, also for
        a replay and without hooks: bad answers stop there. cookiecutter renders answers too, whoever gave them. What
        has no name is code only if it stands in the template: a default, a hook, the path of a file. A file that only
        other answers bring gets an empty name, so it is never written.
        """
        if source == PROJECT_FOLDER:
            self.renders_files = True
            return "{% if cookiecutter | checked %}" + source + "{% endif %}"
        if self.renders_files and not name and source in self.paths:
            return str(self.name_of(source))
        if name or source in self.own | self.paths or not any(opening in source for opening in OPENINGS):
            return source
        place, here, path = source.rpartition(f"{os.sep}.{os.sep}")  # cookiecutter puts these between for a folder
        return _literal(place + here) + path if here and path in self.paths else _literal(source)


def _literal(source: str) -> str:
    return "{{ " + json.dumps(source, ensure_ascii=False) + " }}"


def _executed(name: str) -> dict[str, Any]:
    path = Path(__file__).with_name(name)
    module: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_bytes(), str(path), "exec"), module)
    return module
