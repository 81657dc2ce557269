"""A small sample resource with a table, notes that are kept in the database: make forget-sample takes it away."""

from apiflask import APIBlueprint
from flask import url_for
from pydantic import BaseModel, Field
from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import NotFound

from {{ cookiecutter.package_name }}.core.api import Input, Location, PageQuery, next_page
from {{ cookiecutter.package_name }}.core.database import Model, session

blueprint = APIBlueprint("notes", __name__, url_prefix="/api/notes")

LARGEST_ID = 2**31 - 1  # that the column holds; a larger one would be an error of the database
ONE = f"/<int(max={LARGEST_ID}):note_id>"


class NoteRow(Model):
    """A note, as the database keeps it. After a change: make migration, and read what it wrote."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(500))


class NotesQuery(PageQuery):
    """Which notes to list."""

    after: int = Field(default=0, ge=0, le=LARGEST_ID, description="The id of the note after which the page begins")


class NewNote(Input):
    """What somebody wants to keep."""

    text: str = Field(min_length=1, max_length=500)


class Note(BaseModel):
    """A note that is kept."""

    id: int
    text: str


class NotePage(BaseModel):
    """Some of the notes, oldest first, and where the next ones are."""

    items: list[Note]
    next: str | None


@blueprint.get("")
@blueprint.input(NotesQuery, location="query")
@blueprint.output(NotePage)
def list_notes(query_data: NotesQuery) -> dict[str, object]:
    """List the notes, oldest first."""
    newer = select(NoteRow).where(NoteRow.id > query_data.after).order_by(NoteRow.id)
    rows = session().scalars(newer.limit(query_data.limit + 1)).all()
    shown = rows[: query_data.limit]
    return {"items": shown, "next": next_page(shown[-1].id) if len(rows) > len(shown) else None}


@blueprint.post("")
@blueprint.input(NewNote)
@blueprint.output(Note, status_code=201, headers=Location)
def add_note(json_data: NewNote) -> tuple[NoteRow, int, dict[str, str]]:
    """Keep a note."""
    note = NoteRow(text=json_data.text)
    session().add(note)
    session().commit()
    return note, 201, {"Location": url_for("notes.read_note", note_id=note.id)}


@blueprint.get(ONE)
@blueprint.output(Note)
def read_note(note_id: int) -> NoteRow:
    """Read a note."""
    note = session().get(NoteRow, note_id)
    if note is None:
        raise NotFound(f"There is no note {note_id}.")
    return note


@blueprint.delete(ONE)
@blueprint.doc(responses={204: "It is gone"})
def remove_note(note_id: int) -> tuple[str, int]:
    """Remove a note."""
    removed = session().scalar(delete(NoteRow).where(NoteRow.id == note_id).returning(NoteRow.id))
    session().commit()
    if removed is None:
        raise NotFound(f"There is no note {note_id}.")
    return "", 204
