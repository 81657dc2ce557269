import re
from html import unescape

import pytest
from flask.testing import FlaskClient

from {{ cookiecutter.package_name }} import about


def test_the_landing_page_shows_name_and_version(client: FlaskClient) -> None:
    response = client.get("/")
    assert about.NAME in unescape(response.text)
    assert "1.2.3" in response.text


@pytest.mark.usefixtures("servers")
def test_every_link_of_the_landing_page_answers(client: FlaskClient) -> None:
    links = re.findall(r'href="([^"]+)"', client.get("/").text)
    assert links
    for link in links:
        with client.get(link) as response:
            assert response.status_code == 200, link
