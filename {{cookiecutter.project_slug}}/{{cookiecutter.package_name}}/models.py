"""The tables. After a change: make migration, and read what it wrote."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from {{ cookiecutter.package_name }}.database import Model

METADATA = Model.metadata
"""What the migrations are compared with."""


class Note(Model):
    """A note that somebody has left."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(500))
