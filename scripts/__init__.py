"""What `make` runs of the template: each module is a command."""

import re
from pathlib import Path


def put(document: Path, name: str, text: str) -> None:
    """Write what was measured between the marks of its name in a document, as a whole or not at all."""
    old = document.read_text(encoding="utf-8")
    new = document.with_name(f".{document.name}.new")
    measured = re.sub(rf"(?s)(?<=<!-- {name} -->\n).*(?=<!-- /{name} -->)", lambda _: text, old)
    new.write_text(measured, encoding="utf-8", newline="\n")
    new.replace(document)
