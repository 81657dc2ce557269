"""Prints what has changed in the locks since the last commit, as Markdown for a pull request. Standard library only."""

import subprocess
import sys

import layers
import lock
from pins import LockError, Pin, parse

NAMES = ("requirements/tools.txt", lock.DEV, lock.PROD)


def main() -> int:
    try:
        print(table(), end="\n\n")
        print(f"The next image pushes about {pushed() / 1e6:.1f} MB of packages, measured by their wheels.")
    except LockError as error:
        print(f"changes: {error}.", file=sys.stderr)
        return 1
    return 0


def committed(name: str) -> str:
    """Return the text of a file in the last commit, "" when it is not there."""
    command = ["git", "-C", str(lock.PROJECT), "show", f"HEAD:./{name}"]
    result = subprocess.run(command, capture_output=True, check=False)
    return result.stdout.decode(errors="replace") if result.returncode == 0 else ""


def table() -> str:
    """Return the packages that have changed, with their old and new versions."""
    old, new = (
        {name: pin.origin.strip(" =@") for file in NAMES for name, pin in parse(read(file), file).items()}
        for read in (committed, lock.current)
    )
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    rows = [f"| {name} | {old.get(name, '')} | {new.get(name, '')} |" for name in changed]
    return "\n".join(["| Package | Old | New |", "| --- | --- | --- |", *rows]) if rows else "No package has changed."


def pushed() -> int:
    """Return the bytes of the wheels in all layers of the image that differ from those of the last commit."""
    sizes = layers.Sizes.read(lock.current(lock.SIZES))
    now = lock.read_layers()
    files = {lock.BASELINE_LOCK: now.baseline, lock.SERVICE_LOCK: now.service}
    files |= {lock.LAYER_LOCK.format(name): {name: pin} for name, pin in now.own.items()}
    new: set[Pin] = set()
    for file, pins in files.items():
        if lock.current(file) != committed(file):
            new |= {*pins.values()}
    wanted, below = parse(lock.current(lock.PROD), lock.PROD), now.everything
    delta = {pin for name, pin in wanted.items() if below.get(name) != pin}
    if lock.current(lock.PROD) != committed(lock.PROD):
        new |= delta
    return sum(map(sizes.of, new))


if __name__ == "__main__":
    sys.exit(main())
