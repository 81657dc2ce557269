"""What the commands cost that need no engine: rendering and locking. Yields records like those of builds."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.index import Index
from benchmarks.measure import BenchmarkError, machine, run
from benchmarks.results import Record

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = "commands"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def render(template: Path, folder: Path, **answers: str) -> float:
    """Generate a project below an empty `folder`, without locking; return the seconds it took.

    cookiecutter keeps its replay files in the folder too, not in the home of the person who measures.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = folder / "cookiecutter.yaml"
    settings.write_text(f'cookiecutters_dir: "{folder}/cache"\nreplay_dir: "{folder}/replay"\n', encoding="utf-8")
    command = Path(sys.executable).with_name("cookiecutter")
    options = ["--no-input", "--config-file", str(settings), "--output-dir", str(folder)]
    extra = [f"{name}={value}" for name, value in answers.items()]
    return run(command, *options, template, *extra, env={"LAYERCAKE_LOCK": "skip"}).seconds


def project(folder: Path, python: str) -> Path:
    """Generate the service that everything is measured on; return its path."""
    render(ROOT, folder, project_name="Bench", python_version=python)
    return folder / "bench"


def measure_rendering(work: Path, _: Index, repeats: Iterable[int]) -> Iterator[Record]:
    """Measure `cookiecutter` as a process, against a template of one file: the cost of starting it."""
    single = work / "one-file-template"
    (single / "{{cookiecutter.name}}").mkdir(parents=True, exist_ok=True)
    (single / "cookiecutter.json").write_text('{"name": "bench"}\n', encoding="utf-8")
    (single / "{{cookiecutter.name}}" / "README.md").write_text("# {{ cookiecutter.name }}\n", encoding="utf-8")
    templates = {"template": ROOT, "one-file": single}
    for template in templates.values():  # warms the disk, and is not counted
        render(template, work / "rendered")
    for repeat in repeats:
        for name, template in templates.items():
            yield record("rendering", name, repeat, render(template, work / "rendered"))


def expected(event: str, repeat: int) -> list[Record]:
    """Return the records of one repeat, without figures."""
    variants = {"rendering": ("template", "one-file"), "locking": ("seeded", "empty")}[event]
    return [record(event, variant, repeat, 0.0) for variant in variants]


def record(event: str, variant: str, repeat: int, seconds: float) -> Record:
    """Return the record of a command."""
    return Record(
        set=COMMANDS,
        store="",
        variant=variant,
        event=event,
        repeat=repeat,
        inputs=HERE,
        where=machine(),
        seconds=seconds,
    )


def measure_locking(work: Path, index: Index, repeats: Iterable[int]) -> Iterator[Record]:
    """Measure `tools/lock.py compile` with the shipped lock as the seed, against empty files.

    The lock tools are installed before. Both variants start every repeat with empty caches of pip and
    pip-tools, like a new machine, and ask the local index, so that the link of the machine plays no part.
    """
    place = project(work / "locked", HERE)
    locks = [place / "requirements" / name for name in ("prod.txt", "dev.txt")]
    shipped = {path: path.read_text(encoding="utf-8") for path in locks}
    caches = work / "caches"
    environment = {
        **index.for_pip(),
        "LAYERCAKE_LOCK": "require",
        "PIP_CACHE_DIR": str(caches / "pip"), "PIP_TOOLS_CACHE_DIR": str(caches / "pip-tools"),
    }  # fmt: skip

    def lock(*, seeded: bool) -> float:
        for path, text in shipped.items():
            path.write_text(text if seeded else "", encoding="utf-8")
        shutil.rmtree(caches, ignore_errors=True)
        command = [sys.executable, "tools/lock.py", "compile"]
        result = run(*command, cwd=place, env=environment)
        if any("--hash=" not in path.read_text(encoding="utf-8") for path in locks):
            raise BenchmarkError("tools/lock.py wrote a lock without hashes")
        return result.seconds

    for seeded in (True, False):  # installs the lock tools and fills the local index, and is not counted
        lock(seeded=seeded)
    for repeat in repeats:
        yield record("locking", "seeded", repeat, lock(seeded=True))
        yield record("locking", "empty", repeat, lock(seeded=False))
