import re
from html import unescape

{% if cookiecutter.database != "none" or cookiecutter.background_jobs == "celery" %}import pytest
{% endif %}from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import about


def test_the_landing_page_shows_name_and_version(client: FlaskClient) -> None:
    response = client.get("/")
    assert about.NAME in unescape(response.text)
    assert "1.2.3" in response.text


{% if cookiecutter.database != "none" and cookiecutter.background_jobs == "celery" %}@pytest.mark.usefixtures("database", "redis_server")
{% elif cookiecutter.database != "none" %}@pytest.mark.usefixtures("database")
{% elif cookiecutter.background_jobs == "celery" %}@pytest.mark.usefixtures("redis_server")
{% endif %}def test_every_link_of_the_landing_page_answers(client: FlaskClient) -> None:
    links = re.findall(r'href="([^"]+)"', client.get("/").text)
    assert links
    for link in links:
        with client.get(link) as response:
            assert response.status_code == 200, link


def test_browsers_are_told_to_load_nothing_from_elsewhere(client: FlaskClient) -> None:
    headers = client.get("/").headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
