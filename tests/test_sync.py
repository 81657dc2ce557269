"""tools/pins.py and tools/sync.py of a generated project: after any change of the lock, what a cold build makes.

Wheels that are hard to install and to remove are in tests/wheels.py, what runs the sync is in tests/sequences.py. Only
the tests with packages of the index need a network.
"""

import importlib.util
import itertools
import marshal
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from tests.locking import module
from tests.sequences import DATE, TOOLS, Builder, Lock, Step, differences, steps, tree
from tests.support import CHOICES, HERE, interpreter, once, tool
from tests.wheels import CLASHING, HARD, REAL, REFUSED, VALUES, Shelf, Wheel

pins = module(TOOLS / "pins.py")

TRANSITIONS = int(os.environ.get("SYNC_TRANSITIONS", "60"))
SEED = os.environ.get("SYNC_SEED", "1")
PARTS = 4  # test workers take one each

NAMES = {wheel.key: wheel.name for wheel in HARD}
PACKAGES = {name: [key for key in NAMES if NAMES[key] == name] for name in NAMES.values()}

# Locks, one after the other: there and back. Most packages have a version 1 that is changed by a version 2.
CASES = {
    "one comes and goes": "jwt-1",
    "an upgrade and a downgrade": "letters-1 > letters-2 > letters-1",
    "a folder of two packages": "jwt-1 pyjwt-1 > jwt-1 > pyjwt-1 > jwt-2 pyjwt-1 > jwt-2 pyjwt-2 > jwt-2",
    "an equal file of two packages": "Tested_A-1 tested-b-1 > Tested_A-1 > tested-b-1 > Tested_A-1",
    "an upgrade drops the shared file": "Tested_A-1 tested-b-2 > Tested_A-2 tested-b-2 > Tested_A-2 tested-b-1",
    "only the mode of a shared file differs": "Tested_A-1 tested-c-1 > Tested_A-1 > tested-c-1 > tested-b-1 tested-c-1",
    "three share a file": "Tested_A-1 tested-b-2 tested-c-1 > Tested_A-1 tested-b-2 > tested-b-2 tested-c-1 > tested-c-1",
    "the same version with other files": "pyjwt-2 jwt-1 > pyjwt-2-rebuilt jwt-1 > pyjwt-2-rebuilt > pyjwt-2",
    "a URL instead of a version": "pyjwt-2 jwt-1@ > pyjwt-2@ jwt-1@ > pyjwt-2-rebuilt@ > pyjwt-2@ > pyjwt-2",
    "a namespace without __init__.py": "google-cloud-core-1 google-cloud-storage-1 google-auth-1 > google-cloud-storage-1"
    " > google-cloud-core-2 google-cloud-storage-1 > google-cloud-core-2 > google-cloud-core-1 google-auth-2",
    ".pth files": "google-auth-1 > google-auth-2 > google-auth-1 jwt-1",
    "scripts, headers and data": "command-a-1 > command-a-2 > command-a-1",
    "a command of two packages": "command-a-1 command-b-1 > command-a-1 > command-b-1 > command-a-1 command-b-2"
    " > command-b-2 > command-a-2 command-b-2",
    "names in several spellings": "Foo.Bar_baz-1 Tested_A-1 > Foo.Bar_baz-1.0.post1+local.2 Tested_A-2 > Tested_A-2",
    "modes": "modes-1 > modes-2 > modes-1",
    "file names with spaces and letters of the world": "letters-1 tested-b-1 > tested-b-1 letters-2 > letters-2",
    "Python 2": "old-1 > new-1 > old-1 new-1 > older-1 new-1 old-1 > older-1 newest-1 > old-1 newest-1 > newest-1",
    "sources that no compiler takes": "deep-1 > deep-2 > deep-1 jwt-1",
    "one that becomes two": "whole-1 > whole-left-1 part-right-1 > whole-1 part-right-1 > whole-2 whole-left-1 part-right-1",
    "two that become one": "whole-left-1 part-right-1 > whole-1 > whole-1 whole-left-1 part-right-1 > whole-1",
    "empty folders": "hollow-1 > hollow-2 > hollow-1",
    "a RECORD that is wrong": "record-1 pyjwt-1 > record-1 > record-2 pyjwt-1 > pyjwt-1 > record-2 > record-1 pyjwt-2",
    "bytecode in a wheel": "shipped-1 pyjwt-1 thing-1 newest-1 > pyjwt-1 thing-1 newest-1 > shipped-1 pyjwt-1 thing-1"
    " newest-1 > shipped-1 jwt-1 > shipped-2 thing-3 old-1 > shipped-1",
    "a module that becomes a folder": "thing-1 > thing-2 > thing-3 > thing-1",
    "constants": "values-1 > values-2 > values-1 jwt-1",
    "everything": " ".join(keys[0] for keys in PACKAGES.values()) + " > " + " ".join(keys[-1] for keys in PACKAGES.values()),
}  # fmt: skip


@pytest.fixture(scope="session")
def shelf(shared: Path) -> Shelf:
    """The wheels of tests/wheels.py."""
    return Shelf(once(shared / "sync-wheels", lambda new: Shelf(new).fill((*HARD, *CLASHING, *REFUSED))))


@pytest.fixture
def builder(shelf: Shelf, shared: Path, tmp_path: Path) -> Iterator[Builder]:
    """An empty environment, and what brings it to a lock of those wheels."""
    builder = Builder(tmp_path / "builder", shelf, shared / "sync-uv-cache")
    yield builder
    builder.close()


def locks(case: str) -> list[Lock]:
    """Return the locks of a case, there and back."""
    there = [tuple(part.split()) for part in case.split(" > ")]
    return [*there, *reversed(there[:-1]), ()]


# Locks


LOCK = """\
# a comment
flask[async]==3.1.3 ; python_version >= "3.11" \\
    --hash=sha256:bb \\
    --hash=sha256:aa
    # via -r requirements/prod.in
Foo.Bar_baz==1.0.post1+local.2 --hash=sha256:cc
model @ https://example.com/model-1.whl#egg=model ; sys_platform == "linux" \\
    --hash=sha256:dd  # by hand
"""


def test_a_lock_says_name_origin_marker_and_hashes() -> None:
    assert list(pins.parse(LOCK, "prod.txt").values()) == [
        ("flask", "==3.1.3", ' ; python_version >= "3.11"', ("sha256:aa", "sha256:bb")),
        ("foo-bar-baz", "==1.0.post1+local.2", "", ("sha256:cc",)),
        ("model", " @ https://example.com/model-1.whl#egg=model", ' ; sys_platform == "linux"', ("sha256:dd",)),
    ]


def test_what_is_written_is_read_as_it_was() -> None:
    parsed = pins.parse(LOCK, "prod.txt")
    assert pins.parse(pins.render(parsed.values()), "prod.txt") == parsed
    assert pins.parse("\n# nothing\n\n", "prod.txt") == {}


@pytest.mark.parametrize(
    "change",
    [
        ("==3.1.3", "==3.1.4"),
        ("sha256:aa", "sha256:ab"),
        ("--hash=sha256:bb \\\n    ", ""),
        ('python_version >= "3.11"', 'python_version >= "3.12"'),
        ("model-1", "model-2"),
        (" @ https://example.com/model-1.whl#egg=model", "==1"),
    ],
    ids=["version", "hash", "fewer hashes", "marker", "URL", "URL or version"],
)
def test_pins_differ_when_they_may_install_other_files(change: tuple[str, str]) -> None:
    assert pins.parse(LOCK.replace(*change), "prod.txt") != pins.parse(LOCK, "prod.txt")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("flask[async]", "Flask"),
        ("sha256:bb \\\n    --hash=sha256:aa", "sha256:aa --hash=sha256:bb"),
        ("# a comment\n", ""),
    ],
    ids=["spelling and extras", "order of hashes", "comments"],
)
def test_pins_are_equal_when_they_install_the_same_files(old: str, new: str) -> None:
    assert LOCK.count(old) == 1
    assert pins.parse(LOCK.replace(old, new), "prod.txt") == pins.parse(LOCK, "prod.txt")


@pytest.mark.parametrize(
    "line",
    [
        "<<<<<<< HEAD", "=======", ">>>>>>> theirs", "-r other.txt", "-c limits.txt", "-e .", "--find-links /wheels",
        "--index-url https://example.com/simple", "./wheels/a.whl", "https://example.com/a.whl", "flask", "flask>=3",
        "flask~=3.1", "flask== 3.1", "flask==3.1.3,<4", "flask==", "--hash=sha256:aa",
    ],
)  # fmt: skip
def test_a_line_that_is_no_pin_is_named(line: str) -> None:
    with pytest.raises(pins.LockError) as caught:
        pins.parse(f"{LOCK}{line}\n", "prod.txt")
    assert str(caught.value).startswith(f"prod.txt has a line that pins nothing: {line!r}; ")
    assert "make lock" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("click==8.1", "prod.txt has no hash for click==8.1; "),
        ("click @ git+https://example.com/click", "prod.txt has no hash for click @ git+https://example.com/click; "),
        ("FLASK==3.1.3 --hash=sha256:aa", "prod.txt pins flask twice; "),
        ("foo_bar.baz==2 --hash=sha256:aa", "prod.txt pins foo-bar-baz twice; "),
        ("click==8.1 --hash=sha256:aa --no-binary click", "prod.txt has a line that pins nothing: "),
        ("click==8.1 --hash=sha256:", "prod.txt has a line that pins nothing: "),
    ],
    ids=["no hash", "a repository", "twice", "twice, spelled otherwise", "an option", "an empty hash"],
)
def test_a_pin_that_is_not_whole_is_named(line: str, message: str) -> None:
    with pytest.raises(pins.LockError) as caught:
        pins.parse(f"{LOCK}{line}\n", "prod.txt")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


# The law


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_change_ends_in_what_a_cold_build_makes(builder: Builder, case: str) -> None:
    builder.follow(Step(want) for want in locks(case))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_layers_end_in_what_a_cold_build_makes(builder: Builder, case: str) -> None:
    """Large packages are those of the lock, each in its own layer; the baseline has what it had before."""

    def changes() -> Iterator[Step]:
        for before, want in itertools.pairwise(locks(case)):
            names = sorted({NAMES[key.removesuffix("@")] for key in (*before, *want)})
            for large in {frozenset(names[::2]), frozenset(names[1::2]), frozenset(names)}:
                own = tuple(key for key in want if NAMES[key.removesuffix("@")] in large)
                yield Step(want, own, tuple(key for key in before if NAMES[key.removesuffix("@")] not in large))

    builder.follow(changes())


@pytest.mark.parametrize("part", range(PARTS))
def test_random_locks_end_in_what_a_cold_build_makes(builder: Builder, part: int) -> None:
    """The environment variable SYNC_TRANSITIONS says how many changes (60), SYNC_SEED which: SYNC_SEED=2 are others."""
    builder.follow(steps(random.Random(f"{SEED} {part}"), PACKAGES, -(-TRANSITIONS // PARTS)), f"SYNC_SEED={SEED}")


@pytest.mark.slow
def test_real_packages_end_in_what_a_cold_build_makes(shared: Path, tmp_path: Path) -> None:
    """As many of these changes as SYNC_TRANSITIONS says, divided by four."""

    def download(new: Path) -> None:
        for number in range(2):
            wanted = [f"{name}=={versions[number % len(versions)]}" for name, versions in REAL.items()]
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
            subprocess.run([*command, "--dest", new / "all", *wanted], check=True)
        for name, versions in REAL.items():
            for version in versions:
                stem = f"{name.replace('-', '[-_]')}-{version}-"
                file = next(file for file in (new / "all").iterdir() if re.match(stem, file.name, re.IGNORECASE))
                (new / f"{name}-{version}").mkdir()
                file.rename(new / f"{name}-{version}" / file.name)

    builder = Builder(tmp_path / "builder", Shelf(once(shared / "sync-real", download)), shared / "sync-uv-cache")
    packages = {name: [f"{name}-{version}" for version in versions] for name, versions in REAL.items()}
    builder.follow(steps(random.Random(SEED), packages, -(-TRANSITIONS // 4)), f"SYNC_SEED={SEED}")
    builder.close()


# What a cold build makes


def everything(*, last: bool) -> Lock:
    """Return a lock of every package, in its first or last version."""
    return tuple(keys[-1 if last else 0] for keys in PACKAGES.values())


@pytest.mark.parametrize("last", [False, True], ids=["first versions", "last versions"])
def test_dates_modes_and_bytecode_are_those_of_every_machine(builder: Builder, last: bool) -> None:
    builder.sync(everything(last=last))
    sources, bytecode = set(), set()
    for path in (builder.venv, *builder.venv.rglob("*")):
        status = path.lstat()
        assert status.st_mtime_ns == DATE * 10**9, path
        assert path.is_symlink() or stat.S_IMODE(status.st_mode) in (0o755, 0o755 if path.is_dir() else 0o644), path
        assert not path.is_dir() or any(path.iterdir()), path
        if path.suffix == ".py" and builder.modules in path.parents:
            sources.add(path)
        elif path.parent.name == "__pycache__":
            bytecode.add(path)
    for path in sources:
        target = Path(importlib.util.cache_from_source(str(path)))
        if not compiles(path):
            assert target not in bytecode, path
            continue
        data = target.read_bytes()
        assert data[:8] == importlib.util.MAGIC_NUMBER + b"\1\0\0\0", path
        assert data[8:16] == importlib.util.source_hash(path.read_bytes())
        code = marshal.loads(data[16:])
        assert isinstance(code, CodeType)
        assert code.co_filename == str(path)
        bytecode.remove(target)
    assert not bytecode, "is of no module"


def compiles(path: Path) -> bool:
    """Return whether this Python can compile a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(path.read_bytes(), path, "exec", dont_inherit=True)
        except Exception:
            return False
    return True


def test_what_was_installed_can_be_imported_and_run(builder: Builder) -> None:
    builder.sync(everything(last=False))
    python = builder.venv / "bin" / "python"
    code = "import sys, jwt, google.cloud.core, google.cloud.storage.blob, thing, pure_a, plat_a, data_a, values\n"
    code += "print(sys.auth, jwt.whose)"
    assert output(python, "-c", code) == "1 pyjwt\n"
    assert output(builder.venv / "bin" / "run-a") == "a script\n"
    assert output(builder.venv / "bin" / "a") == "\n"
    assert (builder.venv / "share" / "man" / "man1" / "command.1").read_text(encoding="utf-8") == "b\n"
    assert (builder.venv / "include" / "site" / f"python{HERE}" / "command-a" / "a.h").exists()


def output(*command: str | Path) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={"PYTHONDONTWRITEBYTECODE": "1"}
    ).stdout


@pytest.mark.parametrize("first", [(), ("jwt-1",), ("pyjwt-1",)], ids=["none", "jwt", "pyjwt"])
def test_a_file_of_two_packages_is_that_of_the_one_whose_name_sorts_last(builder: Builder, first: Lock) -> None:
    both = ("jwt-1", "pyjwt-1")
    builder.sync(first)
    said = builder.sync(both, first)
    contested, equal = builder.modules / "jwt" / "__init__.py", builder.modules / "jwt" / "keys.py"
    assert contested.read_text(encoding="utf-8") == "whose = 'pyjwt'\n"
    assert f"sync: jwt and pyjwt bring {contested}; it is that of pyjwt\n" in said
    assert str(equal) not in said
    assert equal.exists()
    builder.sync(("jwt-1",), both)
    assert contested.read_text(encoding="utf-8") == "whose = 'jwt'\n"


@pytest.mark.parametrize("last", [False, True], ids=["first versions", "last versions"])
def test_what_is_removed_leaves_nothing(builder: Builder, last: bool) -> None:
    before = tree(builder.venv)
    builder.sync(everything(last=last))
    assert len(tree(builder.venv)) > 100
    builder.sync((), everything(last=last))
    assert differences(before, tree(builder.venv)) == []


def test_what_does_not_change_stays_in_its_layer(builder: Builder) -> None:
    """A file that is written again, or gets another date, is in the new layer, whatever is in it."""

    def written() -> dict[Path, tuple[int, int]]:
        files = (path for path in builder.venv.rglob("*") if not path.is_dir())
        return {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in files}

    before = everything(last=False)
    after = tuple("letters-2" if key == "letters-1" else key for key in before if key != "modes-1")
    builder.sync(before)
    first = written()
    builder.sync(before, before)
    assert written() == first
    builder.sync(after, before)
    changed = {path for path, facts in written().items() if first.get(path) != facts}
    with_two = {path for path in changed if "letters" in path.read_text(encoding="utf-8", errors="ignore")}
    assert {path.relative_to(builder.modules).parts[0] for path in changed - with_two} <= {
        "with space", 'a, "b"', "שלום", "letters-2.dist-info",
    }  # fmt: skip


def test_a_layer_holds_one_package_and_the_way_to_it(builder: Builder, tmp_path: Path) -> None:
    """Wherever it is made, and whatever is in the environment, it has the files of a cold build."""
    builder.sync(("jwt-1",))
    builder.sync(("letters-1", "thing-1"), root=tmp_path / "layer")
    place = tmp_path / "layer" / builder.venv.relative_to("/")
    cold = builder.cold(("letters-1", "thing-1"))
    assert dict(cold.items() - tree(place).items()).keys() == {"pyvenv.cfg", "bin", "bin/python"}
    whole = tree(tmp_path / "layer")
    assert len(whole) == len(tree(place)) + len(builder.venv.relative_to("/").parts)
    assert {facts[3] for path, facts in whole.items() if path != "."} == {DATE * 10**9}


def test_development_packages_come_on_top_of_the_others(builder: Builder) -> None:
    """As the Dockerfile has it: with the Python of the environment, and what is wanted in two locks."""
    production, development = ("jwt-1", "Tested_A-1"), ("pyjwt-1", "tested-c-1")
    builder.sync(production)
    files = [str(builder.write(*lock)) for lock in enumerate((production, development))]
    command: list[str | Path] = [
        builder.venv / "bin" / "python",
        "-BS",
        TOOLS / "sync.py",
        "--have",
        files[0],
        "--want",
        *files,
    ]
    environment = {**os.environ, **builder.environment(development)}
    environment["UV_FIND_LINKS"] = builder.shelf.links(production + development)
    subprocess.run([*command, "--venv", builder.venv, "--uv", tool("uv")], check=True, env=environment)
    assert differences(builder.cold(production + development), tree(builder.venv)) == []


def test_the_umask_decides_nothing(builder: Builder, shelf: Shelf, tmp_path: Path) -> None:
    """Neither that of the build nor that of the build which filled the cache of uv."""
    want = everything(last=False)
    cold = builder.cold(want)
    for umask in (0o077, 0o002):
        builder.cache = tmp_path / f"cache-{umask}"
        builder.empty()
        builder.sync(want, umask=umask)
        assert differences(cold, tree(builder.venv)) == []
    builder.empty()
    builder.sync(("jwt-1",), umask=0o077)
    builder.sync(want, ("jwt-1",), umask=0o027)
    assert differences(cold, tree(builder.venv)) == []


def test_the_date_and_place_of_a_wheel_decide_nothing(builder: Builder, tmp_path: Path) -> None:
    want = ("jwt-1", "letters-1")
    cold = builder.cold(want)
    shutil.copytree(builder.shelf.path, tmp_path / "elsewhere", copy_function=shutil.copy)
    builder.shelf = Shelf(tmp_path / "elsewhere")
    builder.sync(want)
    assert differences(cold, tree(builder.venv)) == []


# Bytecode


COMPILE = """
import sys
sys.path.insert(0, sys.argv[1])
import sync
for name in sys.argv[2:]:
    sync.compile_module(f"{name}.py", f"out/{name}.pyc", f"/opt/{name}.py")
"""


@pytest.mark.parametrize("version", CHOICES["python_version"])
def test_bytecode_does_not_depend_on_what_is_compiled_beside_it(tmp_path: Path, version: str) -> None:
    """Of some sources the compiler's own bytecode does, in Python 3.12 and 3.13."""
    python = interpreter(version)
    if not python:
        pytest.skip(f"this machine has no Python {version}")
    (tmp_path / "values.py").write_text(VALUES, encoding="utf-8")
    other = "alpha = gamma = delta = 'beta'\nclass two:\n    value = 'with a space'\n    given = one = NESTED = 1\n"
    (tmp_path / "other.py").write_text(other, encoding="utf-8")
    found = set()
    for names, seed in itertools.product((["values"], ["other", "values"], ["values", "other"]), range(3)):
        subprocess.run(
            [python, "-BS", "-c", COMPILE, TOOLS, *names], cwd=tmp_path, env={"PYTHONHASHSEED": str(seed)}, check=True
        )
        found.add((tmp_path / "out" / "values.pyc").read_bytes())
    assert len(found) == 1


COMPILER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import sync
compile_module, os.cpu_count = sync.compile_module, lambda: 2
def stumble(module, *arguments):
    if "ladder" in module:
        STUMBLE
    compile_module(module, *arguments)
sync.compile_module = stumble
sys.exit(sync.main(sys.argv[2:]))
"""


def stumble(builder: Builder, want: Lock, how: str) -> subprocess.CompletedProcess[str]:
    """Run sync.py with a compiler that does not get over deep/ladder.py, which no compiler takes."""
    code = COMPILER.replace("STUMBLE", how)
    return subprocess.run(
        [sys.executable, "-BS", "-c", code, TOOLS, *map(str, builder.arguments(want))], capture_output=True, text=True,
        env={**os.environ, **builder.environment(want)}, check=False,
    )  # fmt: skip


def test_a_crash_of_the_compiler_costs_no_other_module_its_bytecode(builder: Builder) -> None:
    want = ("deep-1", "jwt-1", "letters-1")
    result = stumble(builder, want, "os.kill(os.getpid(), signal.SIGSEGV)")
    assert result.returncode == 0, result.stderr
    assert differences(builder.cold(want), tree(builder.venv)) == []


def test_bytecode_that_cannot_be_written_is_an_error(builder: Builder) -> None:
    result = stumble(builder, ("deep-1", "jwt-1"), "raise OSError('No space left on device')")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert result.stderr.splitlines()[-1] == "sync: bytecode could not be written, see above."


# What cannot be installed


def failure(builder: Builder, want: Lock, *have: Lock) -> str:
    """Return the one line in which sync.py says why it failed."""
    said = builder.sync(want, *have, check=False)
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("sync: ")]
    assert len(lines) == 1, said
    assert said.splitlines()[-1] == lines[0]
    return lines[0]


@pytest.mark.parametrize("pair", ["clash-a-1 clash-b-1", "clash-b-1 clash-c-1"])
@pytest.mark.parametrize("first", [None, 0, 1], ids=["together", "the first before", "the second before"])
def test_a_file_that_is_another_packages_folder_is_refused(builder: Builder, pair: str, first: int | None) -> None:
    want = tuple(pair.split())
    have = () if first is None else (want[first],)
    builder.sync(have)
    assert "a package could not be installed, see above" in failure(builder, want, have)


@pytest.mark.parametrize("upper", ["clash-a-1", "clash-b-1"])
def test_a_file_in_one_layer_that_is_a_folder_in_another_is_refused(builder: Builder, upper: str) -> None:
    both = ("clash-a-1", "clash-b-1")
    lower = next(key for key in both if key != upper)
    builder.stack((lower,))
    place = builder.layer((upper,))
    clash = builder.modules / "clash"
    shutil.rmtree(clash) if clash.is_dir() else clash.unlink()  # as the upper of two layers hides it
    shutil.copytree(place, builder.venv, symlinks=True, dirs_exist_ok=True)
    assert failure(builder, both, *((key,) for key in both)) == (
        f"sync: {clash} is a file of clash-a and a folder of clash-b; remove one of them."
    )


@pytest.mark.parametrize("wheel", REFUSED, ids=[wheel.name for wheel in REFUSED])
@pytest.mark.parametrize("have", [(), ("jwt-1",)], ids=["at first", "later"])
def test_what_makes_the_environment_is_not_replaced(builder: Builder, wheel: Wheel, have: Lock) -> None:
    builder.sync(have)
    line = failure(builder, (*have, wheel.key), have)
    assert "could not be installed" in line or "belongs to the virtual environment" in line


def test_the_hash_decides_which_wheel_is_installed(
    builder: Builder, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the place, name and date of a file, by which the cache of uv knows it: here it is built anew in its place."""
    want = ("pyjwt-2",)
    builder.sync(want)
    builder.sync((), want)
    builder.shelf = Shelf(builder.folder / "shelf")
    shutil.copytree(shelf.path / "pyjwt-2", builder.shelf.path / "pyjwt-2")
    builder.sync(want)
    builder.sync((), want)
    lock = builder.shelf.lock(want)
    file = builder.shelf.file("pyjwt-2")
    date = file.stat().st_mtime_ns
    shutil.copy(shelf.file("pyjwt-2-rebuilt"), file)
    os.utime(file, ns=(date, date))
    builder.sync(want)
    assert (builder.modules / "jwt" / "new.py").exists()
    builder.sync((), want)
    monkeypatch.setattr(Shelf, "lock", lambda self, keys: lock)
    assert "a package could not be installed" in failure(builder, want)


def test_a_layer_that_the_image_has_lost_is_installed_anew(builder: Builder) -> None:
    """Its lock says that it is there; the Dockerfile may have lost its step in a merge."""
    builder.stack(("jwt-1",))
    builder.sync(("jwt-1", "letters-1"), ("jwt-1",), ("letters-1",))
    assert tree(builder.venv) == builder.cold(("jwt-1", "letters-1"))


def test_two_locks_that_do_not_agree_are_refused(builder: Builder) -> None:
    """Of a package in two layers nobody knows which one lies above the other."""
    assert failure(builder, ("pyjwt-2",), ("pyjwt-1",), ("pyjwt-2",)) == (
        "sync: 2.txt has pyjwt==2, another lock pyjwt==1; run `make lock`."
    )


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", "flask==3.1.3\n"])
def test_a_broken_lock_changes_nothing(builder: Builder, text: str) -> None:
    before = tree(builder.venv)
    arguments = builder.arguments(("jwt-1",))
    (builder.folder / "0.txt").write_text(text, encoding="utf-8")
    command = [sys.executable, "-BS", str(TOOLS / "sync.py"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("sync: 0.txt has ")
    assert len(result.stderr.splitlines()) == 1
    assert tree(builder.venv) == before
