"""Runs in the browser's container: writes a post in Flask's tutorial application, and deletes it when asked twice.

Prints, as JSON, what the browser asked, and the titles of posts before and after. The argument is the address.
"""

import json
import sys

from playwright.sync_api import Dialog, sync_playwright
from visit import CHROMIUM


def main() -> None:
    (address,) = sys.argv[1:]
    asked: list[str] = []
    answers = iter((False, True))

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        if next(answers):
            dialog.accept()
        else:
            dialog.dismiss()

    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=CHROMIUM).new_page()
        page.on("dialog", answer)
        for path in ("/auth/register", "/auth/login"):
            page.goto(f"{address}{path}")
            page.fill("input[name=username]", "ana")
            page.fill("input[name=password]", "secret")
            page.click("input[type=submit]")
        page.click("text=New")
        page.fill("input[name=title]", "A post")
        page.fill("textarea", "It is short.")
        page.click("input[type=submit]")
        posts = []
        for _ in range(2):
            page.click("text=Edit")
            page.click("input[value=Delete]")
            page.goto(f"{address}/")
            posts.append(page.locator("article h1").all_inner_texts())
    print(json.dumps({"asked": asked, "posts": posts}))


if __name__ == "__main__":
    main()
