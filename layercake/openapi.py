"""Cuts the description of a project's API out of that of a service with every option: `make openapi` writes that one."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from layercake.files import PACKAGE, is_in
from layercake.quoting import escape_hidden

DESCRIPTION = Path(__file__).resolve().parent.parent / "templates" / "openapi.json"


def openapi(answers: Mapping[str, str]) -> str:
    """Return the description of the sample resources that a project has, as its own `make openapi` writes it."""
    document = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    document["info"] |= {"title": answers["project_name"], "description": answers["description"]}
    document["tags"] = [tag for tag in document["tags"] if has(answers, tag["name"])]
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if all(has(answers, tag) for operation in operations.values() for tag in operation["tags"])
    }
    schemas = document["components"]["schemas"]
    used: set[str] = set()
    found = references(document["paths"])
    while found - used:
        used |= found
        found = references([schemas[name] for name in used])
    document["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name in used}
    return escape_hidden(json.dumps(document, ensure_ascii=False, indent=2))


def has(answers: Mapping[str, str], resource: str) -> bool:
    """Return whether a project has a sample resource."""
    return is_in(answers, f"{PACKAGE}/resources/{resource.lower()}.py")


def references(part: object) -> set[str]:
    """Return the names of the models that a part of the description refers to."""
    return set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(part)))


FILTERS = {"openapi": openapi}
