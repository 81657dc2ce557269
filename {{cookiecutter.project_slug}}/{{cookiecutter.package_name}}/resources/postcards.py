"""A small sample of work for later, postcards that a worker writes: make forget-sample takes it away."""

from typing import Literal
from uuid import UUID, uuid4

from apiflask import APIBlueprint
from celery import shared_task
from flask import url_for
from pydantic import BaseModel, Field
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }}.core.api import Input, Location
from {{ cookiecutter.package_name }}.core.jobs import store

blueprint = APIBlueprint("postcards", __name__, url_prefix="/api/postcards")

KEPT = 24 * 60 * 60
"""Seconds that a postcard is kept."""


class NewPostcard(Input):
    """Whom a postcard is for, and from where."""

    name: str = Field(min_length=1, max_length=80)
    place: str = Field(min_length=1, max_length=80)


class Postcard(BaseModel):
    """A postcard, and whether it is written."""

    id: UUID
    state: Literal["ordered", "written"]
    text: str | None = None


@blueprint.post("")
@blueprint.input(NewPostcard)
@blueprint.output(Postcard, status_code=202, headers=Location)
def order_postcard(json_data: NewPostcard) -> tuple[Postcard, int, dict[str, str]]:
    """Order a postcard; it is written later."""
    card = uuid4()
    store().set(key(card), "", ex=KEPT)
    write_postcard.delay(str(card), json_data.name, json_data.place)
    return Postcard(id=card, state="ordered"), 202, {"Location": url_for("postcards.read_postcard", card=card)}


@blueprint.get("/<uuid:card>")
@blueprint.output(Postcard)
def read_postcard(card: UUID) -> Postcard:
    """Read a postcard."""
    text = store().get(key(card))
    if text is None:
        raise NotFound(f"There is no postcard {card}.")
    return Postcard(id=card, state="written" if text else "ordered", text=str(text) or None)


@shared_task
def write_postcard(card: str, name: str, place: str) -> None:
    """Write a postcard. Whoever does so again writes the same one, and brings back none that is gone."""
    store().set(key(card), f"Dear {name}, greetings from {place}!", keepttl=True, xx=True)


def key(card: object) -> str:
    """Return where Redis keeps a postcard."""
    return f"postcard:{card}"
