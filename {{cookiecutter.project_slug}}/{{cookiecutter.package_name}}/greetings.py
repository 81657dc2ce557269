"""A small sample resource, greetings in several languages. Replace it with what the service is for."""

from flask import Blueprint, url_for
from pydantic import Field
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }}.validation import Query

blueprint = Blueprint("greetings", __name__, url_prefix="/api/greetings")

GREETINGS = {"de": "Hallo", "en": "Hello", "es": "Hola", "fr": "Bonjour", "ja": "こんにちは"}


class GreetingQuery(Query):
    """The query of a greeting."""

    name: str = Field(default="World", min_length=1, max_length=80)


@blueprint.get("")
def list_greetings() -> dict[str, object]:
    """List the languages that the service can greet in."""
    items = [{"language": code, "url": url_for("greetings.greet", language=code)} for code in GREETINGS]
    return {"items": items}


@blueprint.get("/<language>")
def greet(language: str) -> dict[str, str]:
    """Greet somebody in a language."""
    query = GreetingQuery.from_request()
    if language not in GREETINGS:
        raise NotFound(f"There is no greeting in {language!r}; known are {', '.join(GREETINGS)}.")
    return {"language": language, "message": f"{GREETINGS[language]}, {query.name}!"}
