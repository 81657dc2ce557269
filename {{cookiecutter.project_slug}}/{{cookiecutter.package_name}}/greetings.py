"""A small sample resource, greetings in several languages. Replace it with what the service is for."""

from flask import Blueprint, url_for
from pydantic import BaseModel, Field
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }}.api import Input, PageQuery, next_page, operation

blueprint = Blueprint("greetings", __name__, url_prefix="/api/greetings")

GREETINGS = {"de": "Hallo", "en": "Hello", "es": "Hola", "fr": "Bonjour", "ja": "こんにちは"}


class LanguageQuery(PageQuery):
    """Which languages to list."""

    after: str = Field(default="", description="The language after which the page begins")


class Language(BaseModel):
    """A language that the service can greet in."""

    language: str
    url: str


class LanguagePage(BaseModel):
    """Some of the languages, and where the next ones are."""

    items: list[Language]
    next: str | None


class GreetingQuery(Input):
    """Who is greeted."""

    name: str = Field(default="World", min_length=1, max_length=80)


class Greeting(BaseModel):
    """A greeting in a language."""

    language: str
    message: str


@blueprint.get("")
@operation()
def list_languages(query: LanguageQuery) -> LanguagePage:
    """List the languages that the service can greet in."""
    codes = [code for code in sorted(GREETINGS) if code > query.after]
    items = [Language(language=code, url=url_for("greetings.greet", language=code)) for code in codes[: query.limit]]
    return LanguagePage(items=items, next=next_page(items[-1].language) if len(codes) > query.limit else None)


@blueprint.get("/<language>")
@operation()
def greet(language: str, query: GreetingQuery) -> Greeting:
    """Greet somebody in a language."""
    if language not in GREETINGS:
        raise NotFound(f"There is no greeting in {language!r}; known are {', '.join(GREETINGS)}.")
    return Greeting(language=language, message=f"{GREETINGS[language]}, {query.name}!")
