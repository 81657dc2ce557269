"""A hashed requirements file in the formats of other tools: the same versions, the same hashes."""

import functools
import hashlib
import html
import json
import re
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from benchmarks.index import normalised
from benchmarks.measure import BenchmarkError

PYTHONS = ">=3.11"  # what the template offers; the lock has been made for one of them
SOURCE = "local"

OWN = frozenset({"pydantic-settings", "python-dotenv", "python-json-logger"})
"""What somebody who splits the requirements of the service keeps beside the framework from the first day."""


class Pin(NamedTuple):
    """One package of a lock."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    """Sorted, like "sha256:0123"."""


def pins_of(lock: str) -> list[Pin]:
    """Return what a lock pins, by name. Raises BenchmarkError for a line that is no pin."""
    lines = re.sub(r"^\s*#.*\n?", "", lock, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return sorted(pin_of(line) for line in lines if line.strip())


def pin_of(line: str) -> Pin:
    """Return the pin in a line that has been joined. Raises BenchmarkError when there is none."""
    requirement, *hashes = re.split(r"\s+--hash=", re.sub(r"\s+#.*", "", line).strip())
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(?:\s*;\s*(.+))?", requirement)
    if not match or not hashes:
        raise BenchmarkError(f"the lock has a line without a version or without hashes: {line.strip()[:80]}")
    return Pin(normalised(match[1]), match[2], match[3] or "", tuple(sorted(hashes)))


def split(lock: str, baseline: str) -> tuple[str, str]:
    """Return a stable and a volatile requirements file: what the baseline knows by name, and the rest.

    A new version of something stable changes the stable file. `OWN` is volatile from the first day.
    """
    stable = {pin.name for pin in pins_of(baseline)} - OWN
    head, *blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    files = {True: head, False: head}
    for block in blocks:
        files[normalised(re.split(r"[\[=]", block)[0]) in stable] += block
    return files[True], files[False]


def poetry_project(lock: str, index_url: str) -> str:
    """Return a pyproject.toml that asks for everything in the lock, from this index alone."""
    needs = "".join(f"    {quoted(need)},\n" for need in poetry_needs(lock))
    source = "".join(f"{key} = {quoted(value)}\n" for key, value in poetry_source(index_url).items())
    return f"""\
[project]
name = "service"
version = "0"
requires-python = "{PYTHONS}"
dependencies = [
{needs}]

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
{source}"""


def poetry_needs(lock: str) -> list[str]:
    """Return the requirements of the lock as Poetry writes them."""
    return [f"{pin.name} (=={pin.version})" + (pin.marker and f" ; {pin.marker}") for pin in pins_of(lock)]


def poetry_source(index_url: str) -> dict[str, str]:
    """Return the index as Poetry knows it; a primary source takes the place of the public index."""
    return {"name": SOURCE, "url": index_url, "priority": "primary"}


def poetry_lock(lock: str, index_url: str) -> str:
    """Return the poetry.lock that belongs to `poetry_project`, in version 2.1 of the format.

    Raises:
        BenchmarkError: the index has no file with one of the hashes.
    """
    packages = "".join(poetry_package(pin, index_url) for pin in pins_of(lock))
    return f"""\
{packages}[metadata]
lock-version = "2.1"
python-versions = "{PYTHONS}"
content-hash = "{poetry_hash(lock, index_url)}"
"""


def poetry_hash(lock: str, index_url: str) -> str:
    """Return what poetry.lock says of the pyproject.toml that it was made for."""
    relevant = {
        "project": {"requires-python": PYTHONS, "dependencies": poetry_needs(lock)},
        "tool": {"poetry": {"source": [poetry_source(index_url)]}},
    }
    return digest(json.dumps(relevant, sort_keys=True))


def poetry_package(pin: Pin, index_url: str) -> str:
    """Return what a poetry.lock says of a package. All are asked for, so none names what it needs itself."""
    marker = f"markers = {quoted(pin.marker)}\n" if pin.marker else ""
    files = "".join(
        f"    {{file = {quoted(file)}, hash = {quoted(value)}}},\n" for file, value in files_of(pin, index_url)
    )
    return f"""\
[[package]]
name = {quoted(pin.name)}
version = {quoted(pin.version)}
description = ""
optional = false
python-versions = "*"
groups = ["main"]
{marker}files = [
{files}]

[package.source]
type = "legacy"
url = {quoted(index_url)}
reference = "{SOURCE}"

"""


def files_of(pin: Pin, index_url: str) -> list[tuple[str, str]]:
    """Return the name and the hash of every file that a pin allows, by name."""
    names = file_names(index_url, pin.name)
    for missing in set(pin.hashes) - names.keys():
        raise BenchmarkError(f"{index_url}/{pin.name}/ has no file with the hash {missing} of the lock")
    return sorted((names[value], value) for value in pin.hashes)


@functools.cache
def file_names(index_url: str, package: str) -> dict[str, str]:
    """Return the names of a package's files by their hashes, as the index lists them."""
    try:
        with urllib.request.urlopen(f"{index_url}/{package}/", timeout=180) as answer:
            page = answer.read().decode()
    except OSError as error:
        raise BenchmarkError(f"{index_url}/{package}/ cannot be read: {error}") from error
    links = [urlsplit(html.unescape(link)) for link in re.findall(r'<a\s[^>]*?href="([^"]+)"', page)]
    return {link.fragment.replace("=", ":"): unquote(link.path.rpartition("/")[2]) for link in links}


def pipfile(lock: str, index_url: str) -> str:
    """Return a Pipfile that asks for everything in the lock, from this index alone."""
    packages = ""
    for name, need in pipfile_needs(lock).items():
        table = ", ".join(f"{key} = {quoted(value)}" for key, value in need.items())
        packages += f"{name} = {{{table}}}\n"
    return f"""\
[[source]]
name = "{SOURCE}"
url = {quoted(index_url)}
verify_ssl = false

[packages]
{packages}"""


def pipfile_needs(lock: str) -> dict[str, dict[str, str]]:
    """Return the requirements of the lock as a Pipfile has them."""
    return {
        pin.name: {"version": f"=={pin.version}", **({"markers": pin.marker} if pin.marker else {})}
        for pin in pins_of(lock)
    }


def pipfile_lock(lock: str, index_url: str) -> str:
    """Return the Pipfile.lock that belongs to `pipfile`."""
    sources = [{"name": SOURCE, "url": index_url, "verify_ssl": False}]
    relevant = {"_meta": {"requires": {}, "sources": sources}, "default": pipfile_needs(lock), "develop": {}}
    content: dict[str, Any] = {
        "_meta": {
            "hash": {"sha256": digest(json.dumps(relevant, sort_keys=True, separators=(",", ":")))},
            "pipfile-spec": 6,
            "requires": {},
            "sources": sources,
        },
        "default": {
            pin.name: {**pipfile_needs(lock)[pin.name], "hashes": pin.hashes, "index": SOURCE} for pin in pins_of(lock)
        },
        "develop": {},
    }
    return json.dumps(content, indent=4, sort_keys=True) + "\n"


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def quoted(text: str) -> str:
    """Return a string as TOML writes it."""
    return json.dumps(text)
