"""A small sample resource, greetings in several languages: make forget-sample takes it away."""

from apiflask import APIBlueprint
from flask import url_for
from pydantic import BaseModel, Field
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }}.core.api import Input, PageQuery, next_page

blueprint = APIBlueprint("greetings", __name__, url_prefix="/api/greetings")

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
@blueprint.input(LanguageQuery, location="query")
@blueprint.output(LanguagePage)
def list_languages(query_data: LanguageQuery) -> LanguagePage:
    """List the languages that the service can greet in."""
    codes = [code for code in sorted(GREETINGS) if code > query_data.after]
    shown = codes[: query_data.limit]
    items = [Language(language=code, url=url_for("greetings.greet", language=code)) for code in shown]
    return LanguagePage(items=items, next=next_page(shown[-1]) if len(codes) > len(shown) else None)


@blueprint.get("/<language>")
@blueprint.input(GreetingQuery, location="query")
@blueprint.output(Greeting)
def greet(language: str, query_data: GreetingQuery) -> Greeting:
    """Greet somebody in a language."""
    if language not in GREETINGS:
        raise NotFound(f"There is no greeting in {language!r}; known are {', '.join(GREETINGS)}.")
    return Greeting(language=language, message=f"{GREETINGS[language]}, {query_data.name}!")
