"""Runs in the browser's container: visits the pages of a service, and prints what it saw there as JSON.

Whether that is right is for the tests to say. The argument is the address of the service.
"""

import json
import sys
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium-headless-shell"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}
PATIENCE = 10_000  # milliseconds until what does not appear is given up
BACKGROUND = """[document.body, document.documentElement].map(element => getComputedStyle(element).backgroundColor)
    .find(color => color != "rgba(0, 0, 0, 0)") || "white" """
STEPS = 100  # presses of Tab until what is not reached is given up


def main() -> None:
    (address,) = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        report = {
            "landing": {look: visit(browser, address, "/", look) for look in LOOKS},
            "error": {look: visit(browser, address, "/not-there", look) for look in LOOKS},
            "docs": {look: visit(browser, address, "/docs", look) for look in LOOKS},
            "links": {look: tab_through_links(browser, address, look) for look in LOOKS},
            "operation": {look: try_an_operation(browser, address, look) for look in ("light", "dark")},
        }
    print(json.dumps(report))


def visit(browser: Browser, address: str, path: str, look: str) -> dict[str, Any]:
    """Return what a page shows, what went wrong on it, and what axe-core says of it."""
    page, troubles = new_page(browser, address, look)
    open_page(page, address, path)
    return {
        "title": page.title(),
        "text": page.inner_text("body"),
        "troubles": troubles,
        **rules(page),
        "background": page.evaluate(BACKGROUND),
        "overflow": page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
    }


def new_page(browser: Browser, address: str, look: str) -> tuple[Page, list[str]]:
    """Return an empty page, and the list in which what goes wrong on it will stand.

    The console tells of scripts that fail and of what the Content-Security-Policy refuses.
    """
    page = browser.new_page(**LOOKS[look])
    page.set_default_timeout(PATIENCE)
    troubles: list[str] = []

    def expect(fine: bool, trouble: str) -> None:
        if not fine:
            troubles.append(trouble)

    def dismiss(dialog: Dialog) -> None:
        expect(False, f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("console", lambda message: expect(message.type not in ("error", "warning"), message.text))
    page.on("pageerror", lambda error: expect(False, str(error)))
    page.on("dialog", dismiss)
    page.on("request", lambda request: expect(request.url.startswith((f"{address}/", "data:")), f"to {request.url}"))
    page.on("requestfailed", lambda request: expect(False, f"failed: {request.url}"))
    page.on("response", lambda response: expect(response.ok, f"{response.status}: {response.url}"))
    return page, troubles


def open_page(page: Page, address: str, path: str) -> None:
    """Open a page and wait until it is complete: Swagger UI builds its own after it has loaded."""
    page.goto(address + path)
    if path == "/docs":
        page.wait_for_selector(".opblock")


def tab_through_links(browser: Browser, address: str, look: str) -> dict[str, Any]:
    """Return the links of the landing page, those that Tab reaches, those that look no different then, and where
    Enter on the first of them leads."""
    page, _ = new_page(browser, address, look)
    open_page(page, address, "/")
    reached, unmarked = [], []
    for _ in range(STEPS):
        page.keyboard.press("Tab")
        link = page.evaluate("document.activeElement.getAttribute('href')")
        if link is None:
            break
        focused = page.screenshot(animations="disabled")
        page.evaluate("element = document.activeElement; element.blur()")
        if page.screenshot(animations="disabled") == focused:
            unmarked.append(link)
        page.evaluate("element.focus()")
        reached.append(link)
    links = page.eval_on_selector_all("a", "links => links.map(link => link.getAttribute('href'))")
    open_page(page, address, "/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != f"{address}/")
    return {"all": links, "reached": reached, "unmarked": unmarked, "entered": page.url.removeprefix(address)}


def try_an_operation(browser: Browser, address: str, look: str) -> dict[str, Any]:
    """Return what Swagger UI shows of the service's answer to a request that was made with the keyboard alone.

    What axe-core says is of the page with the answer to a second one, which is refused: it holds a number.
    """
    page, troubles = new_page(browser, address, look)
    open_page(page, address, "/docs")
    operation = "#operations-Greetings-get_greetings_greet"
    language = f"{operation} tr[data-param-name=language] input"
    answer = f"{operation} .live-responses-table .response:has-text('%s') .microlight"
    tab_to(page, f"{operation} .opblock-summary-control")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{operation} .try-out__btn")
    tab_to(page, f"{operation} .try-out__btn")
    page.keyboard.press("Enter")
    tab_to(page, language)
    page.keyboard.type("fr")
    tab_to(page, f"{operation} .execute")
    page.keyboard.press("Enter")
    seen = {"text": page.locator(answer % 200).first.inner_text(), "troubles": list(troubles)}
    tab_to(page, language, "Shift+Tab")
    page.keyboard.type("xx")
    tab_to(page, f"{operation} .execute")
    page.keyboard.press("Enter")
    page.wait_for_selector(answer % 404)
    return {**seen, **rules(page)}


def rules(page: Page) -> dict[str, dict[str, list[str]]]:
    """Return which rules of axe-core the page breaks as it is now, which it cannot judge, and the elements."""
    found = Axe().run(page).response
    return {
        name: {rule["id"]: [node["html"] for node in rule["nodes"]] for rule in found[kind]}
        for name, kind in (("broken", "violations"), ("unsure", "incomplete"))
    }


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Press Tab until an element has the focus."""
    for _ in range(STEPS):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    sys.exit(f"Tab does not reach {selector}")


if __name__ == "__main__":
    main()
