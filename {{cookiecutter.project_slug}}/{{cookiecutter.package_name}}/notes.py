"""Another sample resource, notes that are kept in the database. Replace it with what the service is for."""

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, select
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }} import models
from {{ cookiecutter.package_name }}.api import Input, PageQuery, next_page, operation
from {{ cookiecutter.package_name }}.database import session

blueprint = Blueprint("notes", __name__, url_prefix="/api/notes")

LARGEST_ID = 2**31 - 1
ONE = f"/<int(max={LARGEST_ID}):note_id>"


class NotesQuery(PageQuery):
    """Which notes to list."""

    after: int = Field(default=0, ge=0, le=LARGEST_ID, description="The id of the note after which the page begins")


class NewNote(Input):
    """What somebody wants to keep."""

    text: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")


class Note(BaseModel):
    """A note that is kept."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    text: str


class NotePage(BaseModel):
    """Some of the notes, oldest first, and where the next ones are."""

    items: list[Note]
    next: str | None


@blueprint.get("")
@operation()
def list_notes(query: NotesQuery) -> NotePage:
    """List the notes, oldest first."""
    wanted = select(models.Note).where(models.Note.id > query.after).order_by(models.Note.id).limit(query.limit + 1)
    rows = session().scalars(wanted).all()
    items = [Note.model_validate(row) for row in rows[: query.limit]]
    return NotePage(items=items, next=next_page(items[-1].id) if len(rows) > query.limit else None)


@blueprint.post("")
@operation(status=201)
def add_note(body: NewNote) -> Note:
    """Keep a note."""
    note = models.Note(text=body.text)
    session().add(note)
    session().flush()
    kept = Note.model_validate(note)
    session().commit()
    return kept


@blueprint.get(ONE)
@operation()
def read_note(note_id: int) -> Note:
    """Read a note."""
    note = session().get(models.Note, note_id)
    if note is None:
        raise NotFound(f"There is no note {note_id}.")
    return Note.model_validate(note)


@blueprint.delete(ONE)
@operation(status=204)
def remove_note(note_id: int) -> None:
    """Remove a note."""
    removed = session().scalar(delete(models.Note).where(models.Note.id == note_id).returning(models.Note.id))
    session().commit()
    if removed is None:
        raise NotFound(f"There is no note {note_id}.")
