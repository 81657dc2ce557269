from flask import Flask, url_for


def test_a_file_is_kept_for_as_long_as_its_version_is_deployed(app: Flask) -> None:
    with app.test_request_context():
        address = url_for("static", filename="style.css")
    for asked, seconds in ((address, 31_536_000), (f"{address}4", 86_400), (address.partition("?")[0], 86_400)):
        with app.test_client().get(asked) as response:
            assert (response.status_code, response.cache_control.max_age) == (200, seconds)
