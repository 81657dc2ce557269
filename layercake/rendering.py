"""Tells code from text while cookiecutter renders, and gives it the template's filters.

cookiecutter renders answers, names of files and hooks alike, from strings. Code is only what stands in the template;
an answer is text, whatever it looks like.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from jinja2 import Environment
from jinja2.ext import Extension

from layercake import answers, files, locks, openapi, quoting, record

ROOT = Path(__file__).resolve().parent.parent
PROJECT_FOLDER = "{{cookiecutter.project_slug}}"


class Rendering(Extension):
    """The extension of one environment. cookiecutter makes one for the questions, one for the files, one for a hook."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for module in (answers, files, locks, openapi, quoting):
            environment.filters.update(module.FILTERS)
        environment.filters["record"] = partial(record.record, here=Path.cwd())  # cookiecutter goes elsewhere later
        self.read_string = reader()

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return what to render. What has a name is a file of the template; the rest comes as a string."""
        return source if name else self.read_string(source)


def reader() -> Callable[[str], str]:
    """Return what reads the strings of the environment that is being made, going by the function that makes it."""
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_globals.get("__name__", "").startswith("cookiecutter.") and frame.f_code.co_name in READERS:
            return READERS[frame.f_code.co_name]
    return refuse


def read_answer(source: str) -> str:
    """Return a default of cookiecutter.json as it is, and each answer as text: people may type what looks like code."""
    defaults = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8")).values()
    return source if source in defaults else text(source)


def read_path(source: str) -> str:
    """Return the path of a file or folder of the scaffold as what cookiecutter shall make of it.

    The name of the project's folder is the first thing that is rendered after the questions, also for a replay and
    without hooks: bad answers stop there, before anything exists. A file that only other answers bring gets an empty
    name, so it is never written. In a folder's path, cookiecutter puts /./ behind the place of the project, which is
    text.
    """
    if source == PROJECT_FOLDER:
        return "{% if cookiecutter | checked %}" + source + "{% endif %}"
    if source == record.FILE:  # cruft writes its own
        return "{% if '_repo_dir' in cookiecutter %}" + source + "{% endif %}"
    place, here, path = source.rpartition(f"{os.sep}.{os.sep}")
    return text(place + here) + path if here else files.name_of(source)


def read_hook(source: str) -> str:
    """Return a hook as it is."""
    return source


def refuse(source: str) -> str:
    """Raise RuntimeError: what is not known to be code must not be rendered."""
    msg = f"The template cannot tell what this cookiecutter renders: {source[:40]!r}; use cookiecutter 2.7."
    raise RuntimeError(msg)


def text(source: str) -> str:
    """Return code that renders as a text."""
    return "{{ " + json.dumps(source, ensure_ascii=False) + " }}"


READERS = {"prompt_for_config": read_answer, "generate_files": read_path, "run_script_with_context": read_hook}
"""The functions of cookiecutter that make an environment, and what reads its strings."""
