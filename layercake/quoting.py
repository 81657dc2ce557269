"""Puts free text into generated files so that it is itself in each of their languages."""

import json
import re

LINE = 120  # characters: as long as the formatter lets a line of a project get

# Characters that are invisible, that reorder what a reader sees, or that YAML does not allow: escaped in files.
HIDDEN = re.compile("[\x7f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


def quote(text: str) -> str:
    """Return text as a double-quoted string that means the same in TOML, YAML and JSON."""
    return escape_hidden(json.dumps(text, ensure_ascii=False))


def quote_python(text: str) -> str:
    """Return text as a Python string literal in the quotes that formatters choose."""
    literal = quote(text)
    if text.count('"') > text.count("'"):
        literal = "'" + literal[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
    return literal


def assign_python(text: str, name: str) -> str:
    """Return the line that gives a name a text, in the lines that the formatter makes of it.

    How wide it takes a character for that is not ASCII depends on its tables: where that decides, it is told to stay out.
    """
    literal = quote_python(text)
    line = f"{name} = {literal}"
    if len(line) + sum(not character.isascii() for character in line) <= LINE:
        return line
    if not line.isascii():
        return f"{line}  # fmt: skip"
    return f"{name} = (\n    {literal}\n)" if len(line) > LINE >= len(f"    {literal}") else line


def quote_markdown(text: str) -> str:
    """Return text so that Markdown shows it as it is: in a heading, a paragraph or a table cell."""
    text = re.sub(r"([\\`*_\[\]<>&|~$])", r"\\\1", text)
    text = re.sub(
        r"^(\s*)([-+=#:]|\d+(?=[.)]))", lambda m: m[1] + (m[2] + "\\" if m[2].isdigit() else "\\" + m[2]), text
    )
    return re.sub(r"(?<!\\)#(?=#*$)", r"\\#", text)


def embed(value: object) -> str:
    """Return value as JSON for the inside of a double-quoted Python string: `json.loads("...")`."""
    return json.dumps(json.dumps(value))[1:-1]


def escape_hidden(literal: str) -> str:
    """Return text with the characters escaped that nobody sees, or that reorder what a reader sees."""
    return HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", literal)


FILTERS = {
    "quote": quote,
    "assign_python": assign_python,
    "quote_markdown": quote_markdown,
    "embed": embed,
}
