"""A small sample of work for later: postcards, which a worker writes. Replace it with what the service is for."""

from typing import Literal
from uuid import UUID, uuid4

from celery import shared_task
from flask import Blueprint
from pydantic import BaseModel, Field
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }}.api import Input, operation
from {{ cookiecutter.package_name }}.greetings import GREETINGS
from {{ cookiecutter.package_name }}.jobs import store

blueprint = Blueprint("postcards", __name__, url_prefix="/api/postcards")

KEPT = 24 * 60 * 60
"""Seconds that a postcard is kept."""


class NewPostcard(Input):
    """Whom a postcard is for, and in which language."""

    language: Literal["de", "en", "es", "fr", "ja"]
    name: str = Field(min_length=1, max_length=80)


class Postcard(BaseModel):
    """A postcard, and whether it is written."""

    id: UUID
    state: Literal["ordered", "written"]
    text: str | None


@blueprint.post("")
@operation(status=202)
def order_postcard(body: NewPostcard) -> Postcard:
    """Order a postcard; it is written later."""
    card = uuid4()
    store().set(key(card), "", ex=KEPT)
    write_postcard.delay(str(card), body.language, body.name)
    return Postcard(id=card, state="ordered", text=None)


@blueprint.get("/<uuid:card>")
@operation()
def read_postcard(card: UUID) -> Postcard:
    """Read a postcard."""
    text = store().get(key(card))
    if text is None:
        raise NotFound(f"There is no postcard {card}.")
    return Postcard(id=card, state="written" if text else "ordered", text=str(text) or None)


@shared_task
def write_postcard(card: str, language: str, name: str) -> None:
    """Write a postcard. Whoever does so again writes the same one, and brings back none that is gone."""
    store().set(key(card), f"{GREETINGS[language]}, {name}!", keepttl=True, xx=True)


def key(card: object) -> str:
    """Return where Redis keeps a postcard."""
    return f"postcard:{card}"
