"""What the commands cost that need no engine: rendering and locking."""

import shutil
import sys
from pathlib import Path

from benchmarks.index import Index
from benchmarks.measure import BenchmarkError, Line, Progress, compare, limit, run

ROOT = Path(__file__).resolve().parent.parent
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
RENDER_COST, LOCK_COST = 2.0, 20.0  # seconds a repeat, for the remaining time


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


def measure_rendering(work: Path, repeats: int, progress: Progress) -> list[Line]:
    """Measure `cookiecutter` as a process, against a template of one file: the cost of starting it."""
    single = work / "one-file-template"
    (single / "{{cookiecutter.name}}").mkdir(parents=True, exist_ok=True)
    (single / "cookiecutter.json").write_text('{"name": "bench"}\n', encoding="utf-8")
    (single / "{{cookiecutter.name}}" / "README.md").write_text("# {{ cookiecutter.name }}\n", encoding="utf-8")
    ours, one = [], []
    for repeat in range(repeats + 1):  # the first one warms the disk and is not counted
        ours.append(render(ROOT, work / "rendered"))
        one.append(render(single, work / "rendered"))
        progress.say(f"rendering {repeat}/{repeats}: this template {ours[-1]:.2f} s, one file {one[-1]:.2f} s")
        progress.advance(RENDER_COST)
    return [limit("Rendering, without locking", ("template", ours[1:]), ("one file", one[1:]), times=3)]


def measure_locking(work: Path, index: Index, repeats: int, progress: Progress) -> list[Line]:
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

    progress.say("locking: installing the lock tools, and filling the local index")
    lock(seeded=True)
    lock(seeded=False)
    progress.advance(2 * LOCK_COST)
    seeded, unseeded = [], []
    for repeat in range(1, repeats + 1):
        seeded.append(lock(seeded=True))
        unseeded.append(lock(seeded=False))
        progress.say(f"locking {repeat}/{repeats}: seeded {seeded[-1]:.1f} s, from nothing {unseeded[-1]:.1f} s")
        progress.advance(LOCK_COST)
    return [compare("Locking both files with the shipped seed", ("seeded", seeded), ("empty", unseeded), faster=2.5)]
