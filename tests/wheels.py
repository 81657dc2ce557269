"""Wheels that are hard to install and to remove, made on the spot: whatever two packages can do to each other."""

import base64
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support import HERE

FILE, FOLDER = 0o100000, 0o040000


class Wheel(NamedTuple):
    """What is in a wheel; METADATA, WHEEL and RECORD are added."""

    name: str
    """As its author spells it."""
    version: str = "1"
    files: Mapping[str, str | bytes] = {}
    edition: str = ""
    """Tells apart two wheels of one version."""
    modes: Mapping[str, int] = {}
    """Of the files that are not 0644."""
    folders: tuple[str, ...] = ()
    """Folders that have an entry of their own."""
    needs: tuple[str, ...] = ()
    unlisted: frozenset[str] = frozenset()
    """Files that RECORD keeps secret."""
    listed: tuple[str, ...] = ()
    """Lines of RECORD about what is not there."""

    @property
    def key(self) -> str:
        """What tests call it, like `pyjwt-2-rebuilt`."""
        return "-".join(filter(None, (self.name, self.version, self.edition)))

    @property
    def stem(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def file(self) -> str:
        return f"{self.stem}-py3-none-any.whl"

    def pack(self) -> bytes:
        """Return the bytes of the wheel, always the same."""
        info = f"{self.stem}.dist-info"
        needs = "".join(f"Requires-Dist: {need}\n" for need in self.needs)
        files = {
            **self.files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n{needs}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        data = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
        rows = [row(name, content) for name, content in data.items() if name not in self.unlisted]
        data[f"{info}/RECORD"] = "\n".join([*rows, *self.listed, f"{info}/RECORD,,", ""]).encode()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name in self.folders:
                archive.writestr(entry(f"{name}/", FOLDER | 0o700), b"")
            for name, content in data.items():
                archive.writestr(entry(name, FILE | self.modes.get(name, 0o644)), content)
        return packed.getvalue()


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    """Return what a ZIP file says of a file or folder."""
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def row(name: str, content: bytes) -> str:
    """Return the line of RECORD about a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    quoted = '"{}"'.format(name.replace('"', '""')) if set(name) & set(',"') else name
    return f"{quoted},sha256={digest},{len(content)}"


class Shelf(NamedTuple):
    """A folder of wheels, each in a folder of its own: two of one version have the same file name."""

    path: Path

    def fill(self, wheels: Iterable[Wheel]) -> None:
        """Write wheels."""
        for wheel in wheels:
            (self.path / wheel.key).mkdir(parents=True)
            (self.path / wheel.key / wheel.file).write_bytes(wheel.pack())

    def file(self, key: str) -> Path:
        """Return where a wheel is."""
        return next((self.path / key).iterdir())

    def links(self, keys: Iterable[str]) -> str:
        """Return what UV_FIND_LINKS must be for these wheels, and no others of the same versions, to be found."""
        return ",".join(str(self.path / key.removesuffix("@")) for key in keys)

    def pin(self, key: str) -> str:
        """Return the lines of a lock about a wheel, by its URL if the key ends with @."""
        file = self.file(key.removesuffix("@"))
        name, version = file.name.split("-")[:2]
        origin = f" @ {file.as_uri()}" if key.endswith("@") else f"=={version}"
        return f"{name}{origin} \\\n    --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"

    def lock(self, keys: Iterable[str]) -> str:
        """Return the text of a lock."""
        return "".join(self.pin(key) for key in sorted(keys))


TAG = sys.implementation.cache_tag  # cpython-311
STALE = b"bytecode of something else"
PRINTS = "print 'as Python 2 did'\n"
SCRIPT = "#!python\nprint('a script')\n"
VALUES = '''\
"""Constants whose bytecode depends on what else is in memory, if nobody takes care."""
NESTED = (("alpha", "with a space"), ("gamma", (1000001, 2.5, b"bytes", b"b", 1j)))


def one(value, given=(("alpha", ("beta",)),)):
    return value in {"alpha", "beta", "with a space"} or value in {("gamma", "alpha"), ("beta", ("delta",))}


def two(value):
    return value in {"with a space", "beta", "alpha"} or value in (("alpha", 1000001), ("gamma", "with a space"))
'''

# What each is for stands above it. Tests call a wheel by its name, version and edition: pyjwt-2-rebuilt.
HARD = (
    # One folder of two packages; each version has other files.
    Wheel("jwt", "1", {"jwt/__init__.py": "whose = 'jwt'\n", "jwt/keys.py": "", "jwt/old.py": "old = 1\n"}),
    Wheel("jwt", "2", {"jwt/__init__.py": "whose = 'jwt 2'\n", "jwt/keys.py": "keys = 2\n"}),
    Wheel("pyjwt", "1", {"jwt/__init__.py": "whose = 'pyjwt'\n", "jwt/keys.py": "", "jwt/api.py": "api = 1\n"}),
    Wheel("pyjwt", "2", {"jwt/__init__.py": "whose = 'pyjwt 2'\n", "jwt/api.py": "api = 2\n"}),
    # The same version once more, with other files and contents.
    Wheel("pyjwt", "2", {"jwt/__init__.py": "whose = 'rebuilt'\n", "jwt/new.py": "new = 1\n"}, "rebuilt"),
    # A file that tests/ of several packages have: with equal contents, with others, with another mode, or no more.
    Wheel("Tested_A", "1", {
        "tests/__init__.py": "", "tests/test_a.py": "", "a.py": "", "Tested_A-1.dist-info/licenses/LICENSE": "",
    }),
    Wheel("Tested_A", "2", {"a.py": ""}),
    Wheel("tested-b", "1", {"tests/__init__.py": "", "tests/test_b.py": ""}),
    Wheel("tested-b", "2", {"tests/__init__.py": "import tests.test_b\n", "tests/test_b.py": ""}),
    Wheel("tested-c", "1", {"tests/__init__.py": "", "tests/c.txt": ""}, modes={"tests/__init__.py": 0o755}),
    # Folders without an __init__.py that several packages are in.
    Wheel("google-cloud-core", "1", {"google/cloud/core.py": "core = 1\n", "google/cloud/py.typed": ""}),
    Wheel("google-cloud-core", "2", {"google/cloud/core/__init__.py": "core = 2\n"}),
    Wheel("google-cloud-storage", "1", {"google/cloud/storage/blob.py": "", "google/cloud/py.typed": "partial\n"}),
    # .pth files: one that runs code, one with a path.
    Wheel("google-auth", "1", {"google_auth-nspkg.pth": "import sys; sys.auth = 1\n", "google/auth.py": ""}),
    Wheel("google-auth", "2", {"google_auth-nspkg.pth": "google\n", "google/auth.py": "", "google/oauth.py": ""}),
    # Scripts, headers and data; the same command in two packages, also as a script that is no entry point.
    Wheel("command-a", "1", {
        "command_a.py": "main = print\n",
        "command_a-1.dist-info/entry_points.txt": "[console_scripts]\ncommand = command_a:main\na = command_a:main\n",
        "command_a-1.data/scripts/run-a": SCRIPT, "command_a-1.data/scripts/helper.py": SCRIPT,
        "command_a-1.data/headers/a.h": "int a;\n", "command_a-1.data/data/share/man/man1/command.1": "a\n",
        "command_a-1.data/purelib/pure_a.py": "pure = 1\n", "command_a-1.data/platlib/plat_a.py": "plat = 1\n",
        f"command_a-1.data/data/lib/python{HERE}/site-packages/data_a.py": "data = 1\n",
    }),
    Wheel("command-a", "2", {"command_a.py": "main = print\n", "command_a-2.data/headers/a.h": "int a, b;\n"}),
    Wheel("command-b", "1", {
        "command_b.py": "main = print\n",
        "command_b-1.dist-info/entry_points.txt": "[gui_scripts]\ncommand = command_b:main\n",
        "command_b-1.data/data/share/man/man1/command.1": "b\n", "command_b-1.data/data/etc/b/b.conf": "",
    }),
    Wheel("command-b", "2", {
        "command_b-2.data/scripts/command": "#!/bin/sh\n", "command_b-2.data/scripts/b": SCRIPT,
        "command_b-2.data/data/bin/run-a": "no script\n",
    }),
    # Names that are spelled in several ways.
    Wheel("Foo.Bar_baz", "1", {"foo_bar/__init__.py": "", "foo_bar/baz.py": "baz = 1\n"}),
    Wheel("Foo.Bar_baz", "1.0.post1+local.2", {"foo_bar/__init__.py": "", "foo_bar/BAZ.py": "baz = 2\n"}),
    # Modes, and files that differ in nothing else.
    Wheel("modes", "1", {"modes/a.py": "", "modes/b.py": "", "modes/c": "#!\n", "modes/d": ""},
          modes={"modes/a.py": 0o600, "modes/b.py": 0o700, "modes/c": 0o755, "modes/d": 0o666}),
    Wheel("modes", "2", {"modes/a.py": "", "modes/b.py": "", "modes/c": "#!\n", "modes/d": ""},
          modes={"modes/a.py": 0o700, "modes/c": 0o400}),
    # File names with spaces, letters of the world, and what RECORD has to quote.
    Wheel("letters", "1", {"with space/mit Straße.py": "", "日本語/__init__.py": "", 'a, "b"/c,.py': "", "tail .py": ""}),
    Wheel("letters", "2", {"with space/mit Straße.py": "ß = 1\n", 'a, "b"/c,.txt': "", "שלום/é.py": ""}),
    # Sources of Python 2, and the same module for Python 3 in other packages, whose names sort before and after.
    Wheel("old", "1", {"compat/printing.py": PRINTS, "compat/two.py": PRINTS}),
    Wheel("older", "1", {"compat/printing.py": "exec 'code'\n"}),
    Wheel("new", "1", {"compat/printing.py": "print(3)\n", "compat/three.py": ""}),
    Wheel("newest", "1", {"compat/printing.py": "print(4)\n", "compat/two.py": ""}, modes={"compat/two.py": 0o700}),
    # Sources that no compiler takes, and later versions that it does.
    Wheel("deep", "1", {
        "deep/ladder.py": "if x == 0:\n    pass\n" + "".join(f"elif x == {i}:\n    pass\n" for i in range(5000)),
        "deep/chain.py": f"x = f{'.f()' * 5000}\n", "deep/minus.py": f"x = {'-' * 20000}1\n",
        "deep/null.py": "x = 1\0\n", "deep/latin.py": b"x = '\xe9'\n", "deep/cookie.py": "# coding: no-such\n",
        "deep/fine.py": "", "deep/mark.py": b"\xef\xbb\xbfx = 1\n", "deep/warns.py": "x = 1 is 1, '\\d'\n",
    }),
    Wheel("deep", "2", {f"deep/{name}.py": "" for name in ("ladder", "chain", "minus", "null", "latin", "cookie")}),
    # One that becomes two, two that become one.
    Wheel("whole", "1", {"left/__init__.py": "x = 1\n", "left/l.py": "", "right/__init__.py": "", "right/r.py": ""}),
    Wheel("whole", "2"),
    Wheel("whole-left", "1", {"left/__init__.py": "x = 2\n", "left/l.py": ""}),
    Wheel("part-right", "1", {"right/__init__.py": "", "right/r.py": "x = 2\n"}),
    # Folders without a file, where a file comes later, and goes.
    Wheel("hollow", "1", {"hollow/__init__.py": ""}, folders=("hollow/empty", "bare/inner", "void")),
    Wheel("hollow", "2", {"hollow/empty/full.py": "", "void": "a file now\n"}, folders=("bare",)),
    # A RECORD that says less and more than is true.
    Wheel("record", "1", {"record/__init__.py": "", "record/secret.py": "", f"record/__pycache__/x.{TAG}.pyc": STALE},
          unlisted=frozenset({"record/secret.py", f"record/__pycache__/x.{TAG}.pyc"}),
          listed=("record/gone.py,sha256=abc,3", "jwt/api.py,sha256=abc,3", "record/,,", "../../../bin/python,,")),
    Wheel("record", "2", {"record/__init__.py": "x = 2\n", "jwt/api.py": "whose = 'record'\n"},
          unlisted=frozenset({"jwt/api.py"})),
    # Bytecode: of its own, of modules that are another's or nowhere, of another Python, and where there is no source.
    Wheel("shipped", "1", {
        "shipped.py": "x = 1\n", f"__pycache__/shipped.{TAG}.pyc": STALE, "__pycache__/shipped.cpython-36.pyc": STALE,
        f"jwt/__pycache__/api.{TAG}.pyc": STALE, f"jwt/__pycache__/api.{TAG}.opt-1.pyc": STALE,
        f"__pycache__/thing.{TAG}.pyc": STALE, f"__pycache__/dotted.name.{TAG}.pyc": STALE, "only.pyc": STALE,
        f"compat/__pycache__/printing.{TAG}.pyc": STALE, "jwt/__pycache__/notes.txt": "",
    }),
    Wheel("shipped", "2", {"shipped/__init__.py": "x = 2\n", f"shipped/__pycache__/__init__.{TAG}.pyc": STALE}),
    # A module that becomes a folder, and a file that does.
    Wheel("thing", "1", {"thing.py": "x = 1\n", "things": "a file\n", "dotted.name.py": "x = 1\n"}),
    Wheel("thing", "2", {"thing/__init__.py": "x = 2\n", "things/more.txt": "", "things/more.py": ""}),
    Wheel("thing", "3", {"thing.py": "x = 3\n", "thing/data.txt": "", "dotted.name.py": PRINTS}),
    # What the compiler makes of constants.
    Wheel("values", "1", {"values.py": VALUES}),
    Wheel("values", "2", {"values.py": VALUES, "beta.py": VALUES, "values_two.py": "alpha = gamma = delta = 'beta'\n"}),
)  # fmt: skip

# A file of one package is a folder of another.
CLASHING = (
    Wheel("clash-a", "1", {"clash": "a file\n"}),
    Wheel("clash-b", "1", {"clash/module.py": ""}),
    Wheel("clash-c", "1", {"clash": "a file\n", "c.py": ""}),
)

# What would not leave the environment one.
REFUSED = (
    Wheel("brings-config", "1", {"brings_config-1.data/data/pyvenv.cfg": "home = /tmp\n"}),
    Wheel("brings-python", "1", {"brings_python-1.data/data/bin/python": "#!/bin/sh\n"}),
    Wheel("brings-script", "1", {"brings_script-1.data/scripts/python3": "#!/bin/sh\n"}),
)

# Packages of the index: what many services use, two that share a folder, namespaces with and without .pth files.
REAL = {
    "flask": ("3.0.3", "3.1.2"),
    "click": ("8.1.8", "8.3.0"),
    "jinja2": ("3.1.5", "3.1.6"),
    "markupsafe": ("3.0.3",),
    "requests": ("2.31.0", "2.32.5"),
    "jwt": ("1.3.1",),
    "pyjwt": ("2.9.0", "2.10.1"),
    "google-auth": ("2.37.0", "2.38.0"),
    "google-cloud-core": ("2.4.1", "2.4.3"),
    "googleapis-common-protos": ("1.66.0", "1.70.0"),
    "opentelemetry-api": ("1.29.0", "1.30.0"),
    "opentelemetry-semantic-conventions": ("0.50b0", "0.51b0"),
    "backports.tarfile": ("1.2.0",),
    "ruamel.yaml": ("0.18.6", "0.18.10"),
    "zope.event": ("5.0", "5.1"),
}
