"""Refuses to write through links: what they lead to is somebody's, and not in this project."""

import json
import sys
from pathlib import Path

PROJECT = json.loads("{{ cookiecutter | facts | embed }}")


def main() -> int:
    """Return 1 when a file would be written to where a link leads, else 0."""
    names = PROJECT["files"] + PROJECT["folders"]
    places = {place for name in names for place in (Path(name), *Path(name).parents)}
    links = sorted(str(place) for place in places if place.is_symlink())
    if links:
        print(f"Nothing was generated: {', '.join(links)} would be written through a link; remove it.", file=sys.stderr)
    return 1 if links else 0


if __name__ == "__main__":
    sys.exit(main())
