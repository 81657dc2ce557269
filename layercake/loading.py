"""Imports modules as they are in a folder now, whatever this process has loaded, installed or compiled before."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def anew(folder: Path, *names: str) -> Iterator[None]:
    """Inside of this, modules and packages of these names are imported from a folder, and none of them stays.

    No bytecode is read or written: that of a file which was exchanged within a second looks as good as new.
    """

    def taken() -> dict[str, object]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}

    before, prefix, dont_write = taken(), sys.pycache_prefix, sys.dont_write_bytecode
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    sys.pycache_prefix, sys.dont_write_bytecode = str(folder / "nowhere"), True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.pycache_prefix, sys.dont_write_bytecode = prefix, dont_write
        sys.path.remove(str(folder))
        for name in taken():
            del sys.modules[name]
        sys.modules.update(before)  # type: ignore[arg-type]
