"""Migrations that start at once. tests/test_service.py puts this into services named orders."""

import os
import subprocess
import sys

import pytest
from alembic import command
from flask import Flask

from orders.core import database
from orders.core.settings import Settings


@pytest.mark.usefixtures("database")
def test_two_migrations_at_once_are_safe(app: Flask, settings: Settings) -> None:
    with app.app_context():
        command.downgrade(database.migrations(), "base")
    migrate = [sys.executable, "-m", "flask", "--app", "orders", "migrate"]
    url = settings.database_url.get_secret_value()
    environment = os.environ | {"APP_ENV": "development", "DATABASE_URL": url}
    jobs = [subprocess.Popen(migrate, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    (head, _known) = database.revisions()
    assert [job.communicate(timeout=120)[0] for job in jobs] == [f"The schema is at {head}.\n"] * 4
