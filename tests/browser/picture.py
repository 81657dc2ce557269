"""Runs in the browser's container: writes a picture of a page, a PNG, to its standard output.

The arguments are the address of the service, the path of the page, and "light" or "dark".
"""

import sys

from playwright.sync_api import sync_playwright
from visit import CHROMIUM

SIZE = {"width": 960, "height": 600}
SCALE = 1.25  # the picture is 1200 pixels wide


def main() -> None:
    address, path, scheme = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE, color_scheme=scheme)
        page.goto(address + path, wait_until="networkidle")
        sys.stdout.buffer.write(page.screenshot())


if __name__ == "__main__":
    main()
