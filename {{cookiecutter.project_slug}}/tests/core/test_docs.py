import re

from flask.testing import FlaskClient


def test_programs_find_the_description(client: FlaskClient) -> None:
    response = client.get("/openapi.json")
    assert response.json is not None
    assert response.json["openapi"] == "3.1.0"


def test_everything_that_the_page_loads_is_served_here(client: FlaskClient) -> None:
    page = client.get("/docs")
    loaded = re.findall(r'(?:src|href|data-url)="([^"]+)"', page.text)
    assert len(loaded) == 6
    for path in loaded:
        assert path.startswith("/")
        with client.get(path) as response:
            assert response.status_code == 200, path
    assert "<script" not in re.sub(r"<script [^>]*></script>", "", page.text)  # the browser would not run it
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'; style-src")
