"""What cookiecutter loads while it asks and renders: the filters of `answers.py` and `locks.py`.

The two files are executed anew for every environment. An update (cruft) renders the old and the new
version of the template in one process, and Python would hand the old code to both.
"""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateSyntaxError
from jinja2.ext import Extension

PROJECT_FOLDER = "{{cookiecutter.project_slug}}"


class TemplateExtension(Extension):
    """Adds the template's filters. Stored in generated projects by name: never rename it."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for name in ("answers.py", "locks.py"):
            path = Path(__file__).with_name(name)
            namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
            exec(compile(path.read_bytes(), str(path), "exec"), namespace)
            environment.filters.update(namespace["FILTERS"])

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Check the answers before anything exists, and take one that looks like Jinja as it is.

        The name of the project's folder is the first thing that is rendered after the questions, also for
        a replay and without hooks: bad answers stop there. cookiecutter renders answers too, where
        `{% x` or `{{ 1 / 0 }}` would end in a traceback. Only an expression that speaks of `cookiecutter` is a
        default, ours or one that somebody configured; the rest is left for the rules to name.
        """
        if source == PROJECT_FOLDER:
            return "{% if cookiecutter | checked %}" + source + "{% endif %}"
        if name is None and any(opening in source for opening in ("{{", "{%", "{#")):
            plain = Environment()
            plain.filters = self.environment.filters
            try:
                plain.compile(source)
            except TemplateSyntaxError:
                return _literal(source)
            is_hook = "\n" in source
            if "cookiecutter" not in source or (not is_hook and ("{%" in source or "{#" in source)):
                return _literal(source)
        return source


def _literal(source: str) -> str:
    return "{{ " + json.dumps(source, ensure_ascii=False) + " }}"
