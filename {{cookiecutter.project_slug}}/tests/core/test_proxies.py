import json

import pytest
from flask import request

from {{ cookiecutter.package_name }} import core
from {{ cookiecutter.package_name }}.core.settings import Settings


@pytest.mark.parametrize(("proxies", "address", "scheme"), [(0, "127.0.0.1", "http"), (1, "203.0.113.7", "https")])
def test_forwarded_headers_count_only_behind_a_trusted_proxy(
    settings: Settings, proxies: int, address: str, scheme: str, capfd: pytest.CaptureFixture[str]
) -> None:
    app = core.make_app(settings.model_copy(update={"trusted_proxies": proxies}))

    @app.get("/seen")
    def seen() -> list[str | None]:
        return [request.remote_addr, request.scheme, request.host]

    given = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    answer = app.test_client().get("/seen", headers=given)
    assert answer.json == [address, scheme, "localhost"]
    assert ("Strict-Transport-Security" in answer.headers) is (scheme == "https")
    assert json.loads(capfd.readouterr().err)["client"] == address
