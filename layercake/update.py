"""Takes over what the template has learnt since a service was made from it, or last updated.

    layercake update [--to REF] [--set QUESTION=ANSWER]...     make update ARGS='--set database=postgresql'
    layercake update --check [--json]                          make update ARGS=--check

The old release is rendered with the old answers and the new one with the new; git brings the difference over, as it
merges a branch. Renamed files are followed, deleted ones stay deleted, and where both changed the same lines there is an
ordinary conflict. The result is in the index, to be looked at and committed; `git reset --hard` takes it back. Locks are
the project's own and are made anew, then lint and tests run.

Ends with 0 when all went well, 1 when there are conflicts or something failed, 2 when nothing was done. With --check,
0 says that there is nothing for this service, 1 that there is.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from cookiecutter.prompt import read_user_choice, read_user_variable

from layercake.merging import Merge, Project, matches, merge, migrate, skipped, with_steps_of, without_locks
from layercake.record import FILE
from layercake.releases import Entry, Files, Release, Releases, UpdateError, news, text


def main(arguments: Sequence[str]) -> int:
    """Update the service in the working folder; return the exit status."""
    options = parser().parse_args(arguments)
    options.check |= options.json
    try:
        with tempfile.TemporaryDirectory(prefix="layercake-") as folder:
            work = Path(folder)
            project = Project.at(Path.cwd(), work / "objects" if options.check else None)
            with nullcontext() if options.check else alone(project):
                ask = not options.check and sys.stdin.isatty()
                plan = planned(project, work, options.to, dict(options.set), ask=ask)
                if options.check:
                    return check(plan, options.json)
                return update(project, plan, work, lock=not options.no_lock, test=not options.no_test)
    except (UpdateError, OSError) as error:
        print(f"update: {error}.", file=sys.stderr)
    except KeyboardInterrupt:
        print("update: interrupted; nothing was changed.", file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    """Return what reads the options."""
    found = argparse.ArgumentParser(
        "layercake update", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument(
        "--to", metavar="REF", help="a release, branch or commit of the template; the newest release if not given"
    )
    found.add_argument(
        "--set", metavar="QUESTION=ANSWER", action="append", default=[], type=pair, help="change an answer"
    )
    found.add_argument("--check", action="store_true", help="only say what there is for this service")
    found.add_argument("--json", action="store_true", help="the same, as JSON")
    found.add_argument("--no-lock", action="store_true", help="do not run make lock")
    found.add_argument("--no-test", action="store_true", help="do not run make openapi lint test")
    return found


def pair(argument: str) -> tuple[str, str]:
    """Return question and answer of an argument."""
    question, equals, answer = argument.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{argument!r} has no =; write it like database=postgresql")
    return question, answer


class Plan(NamedTuple):
    """What an update is made of."""

    old: Release
    new: Release
    base: Files
    theirs: Files
    record: dict[str, Any]
    """The new one."""
    answered: dict[str, str]
    """The answers that are new or changed."""
    news: list[Entry]
    rewritten: bool
    """Whether the new release does not have the old one in its history."""

    @property
    def changes(self) -> list[str]:
        """The files of this project that the template has changed, in any way."""
        return sorted(
            path for path in self.base.keys() | self.theirs.keys() if self.base.get(path) != self.theirs.get(path)
        )


def planned(
    project: Project,
    work: Path,
    to: str | None,
    given: Mapping[str, str],
    *,
    ask: bool,
    releases: Releases | None = None,
) -> Plan:
    """Return what an update would bring to a project. Nothing of it is changed.

    Args:
        work: an empty folder for what does not stay.
        given: answers that shall change.
        ask: whether somebody is there to answer new questions.
        releases: the template's, where many projects are looked at.
    """
    record = read_record(project.folder)
    releases = releases or Releases(record["template"], record.get("directory"), work)
    try:
        releases.commit_of(record["commit"])
    except UpdateError as error:
        raise UpdateError(
            f"{error}: its history was written anew, or the clone is shallow; `layercake link` finds the release that is nearest"
        ) from error
    old, new = releases.release(record["commit"]), releases.release(to or releases.newest())
    recorded = {name: answer for name, answer in record["context"]["cookiecutter"].items() if not name.startswith("_")}
    answers = answered(old, new, recorded, given, ask=ask)
    with ThreadPoolExecutor() as both:
        before = both.submit(old.render, recorded, recorded, work / "old")
        after = both.submit(new.render, answers, recorded.keys() - given.keys(), work / "new")
        base, theirs = before.result(), after.result()
    base.pop(FILE, None)
    all_answers = json.loads(theirs.pop(FILE)[1])["context"]["cookiecutter"] if FILE in theirs else answers
    ours = project.entries(f"HEAD:{project.prefix}")
    locks = {
        *skipped(base),
        *skipped(theirs),
        *skipped({"pyproject.toml": ("", project.read(ours.get("pyproject.toml")).encode())}),
    }
    base, theirs = (
        without_locks(with_steps_of(files, project.read(ours.get("Dockerfile"))), ours, base, locks)
        for files in (base, theirs)
    )
    only = record.get("only", ["*"])  # of an adopted repository, which has some of the files
    base, theirs = ({path: file for path, file in files.items() if matches(path, only)} for files in (base, theirs))
    changed = {"commit": new.commit, "checkout": to, "context": {"cookiecutter": all_answers}}
    fresh = {name: answer for name, answer in all_answers.items() if recorded.get(name) != answer}
    return Plan(
        old,
        new,
        base,
        theirs,
        {**record, **changed},
        fresh,
        news(old.changelog, new.changelog),
        not releases.is_behind(old.commit, new.commit),
    )


def read_record(folder: Path) -> dict[str, Any]:
    """Return where the project in a folder came from. Raises UpdateError when it does not say."""
    hint = "`layercake link` finds out and writes it"
    try:
        record: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        template, commit, _ = record["template"], record["commit"], record["context"]["cookiecutter"].items()
    except FileNotFoundError as error:
        raise UpdateError(f"{folder} has no {FILE}, which says what it was made from; {hint}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UpdateError(f"{folder / FILE} cannot be read; restore it, or {hint}") from error
    if not isinstance(template, str) or not isinstance(commit, str):
        raise UpdateError(f"{folder / FILE} names no commit of the template; {hint}")
    return record


def answered(
    old: Release, new: Release, recorded: Mapping[str, str], given: Mapping[str, str], *, ask: bool
) -> dict[str, str]:
    """Return the answers for a release: those given, those recorded, else what leaves the project as it is.

    What is not among them takes the release's own default, never that of the person who updates.
    """
    if unknown := given.keys() - new.questions.keys():
        raise UpdateError(
            f"release {new.name} asks for no {', '.join(sorted(unknown))}; it asks for {', '.join(new.questions)}"
        )
    for name, choices in new.questions.items():
        if isinstance(choices, list) and given.get(name, choices[0]) not in choices:
            raise UpdateError(f"{given[name]!r} is no choice of {name}; use {', '.join(choices)}")
    answers = {}
    for name, default in new.questions.items():
        if name in given or name in recorded:
            answers[name] = given.get(name, recorded.get(name, ""))
        elif isinstance(default, list):
            plain = old.questions.get(name, [new.plain.get(name, default[0])])[0]
            choices = [plain, *(choice for choice in default if choice != plain)]
            answers[name] = read_user_choice(name, choices, new.prompts) if ask else plain
        elif ask and "{{" not in default:
            answers[name] = read_user_variable(name, default, new.prompts)
    return answers


def check(plan: Plan, as_json: bool) -> int:
    """Say what there is for a project; return 1 when there is something."""
    if as_json:
        told = [{"release": entry.heading, "text": entry.text, "break": entry.is_break} for entry in plan.news]
        found = {
            "from": {"name": plan.old.name, "commit": plan.old.commit},
            "to": {"name": plan.new.name, "commit": plan.new.commit},
            "changes": plan.changes,
            "answers": plan.answered,
            "news": told,
        }
        print(json.dumps(found, indent=2))
    elif plan.changes:
        tell(plan)
        print(f"{len(plan.changes)} files change: {', '.join(plan.changes)}")
    elif plan.old.commit == plan.new.commit:
        print(f"This service is at {plan.new.name} already.")
    else:
        print(f"There is nothing for this service between {plan.old.name} and {plan.new.name}.")
    return 1 if plan.changes else 0


def tell(plan: Plan) -> None:
    """Say what changed between the releases, breaks first."""
    print(f"From {plan.old.name} to {plan.new.name}:")
    for entry in plan.news:
        print(f"  - {entry.text}")
    for name, answer in plan.answered.items():
        print(f"  {name}: {answer}")
    if plan.rewritten:
        print(
            f"  The history of {plan.new.name} does not hold {plan.old.name}: it was written anew, or this goes back."
        )


def update(project: Project, plan: Plan, work: Path, *, lock: bool, test: bool) -> int:
    """Bring a plan into a project; return the exit status.

    Args:
        lock: whether the locks are made anew.
        test: whether what checks the service is run.
    """
    refuse_unsaved(project)
    if not plan.changes and not plan.answered and plan.old.commit == plan.new.commit:
        print(f"This service is at {plan.new.name} already.")
        return 0
    head = text(project.git("rev-parse", "HEAD"))
    ours = project.entries(f"{head}:{project.prefix}")
    migrations = [file for name, file in plan.new.migrations.items() if name not in plan.old.migrations]
    package = str(plan.record["context"]["cookiecutter"].get("package_name", ""))
    tell(plan)
    moved, told = migrate(project, ours, migrations, package)
    base, theirs = project.store(plan.base, work / "base"), project.store(plan.theirs, work / "theirs")
    found = merge(project, base, moved, theirs, work / "index")
    content = json.dumps(plan.record, ensure_ascii=False, indent=2) + "\n"
    entries = found.entries | {FILE: ("100644", project.write(content))}
    under = {f"{project.prefix}{path}": entry for path, entry in entries.items()}
    tree = project.tree(
        under, work / "index", head, [f"{project.prefix}{path}" for path in ours if path not in entries]
    )
    for path in sorted(entries.keys() - ours.keys()):
        if os.path.lexists(project.folder / path):  # git ignores it, and would write over it
            raise UpdateError(f"{project.folder / path} is in the way of a file of the template; move it elsewhere")
    apply(project, head, tree, found, f"Update the template to {plan.new.name}, from {plan.old.name}\n")
    tool, every = ["make"], ["lock", "openapi", "lint", "test"]
    if "only" in plan.record:
        tool, every = ["python", "tools/lock.py"], ["compile"]
    now = every[:1] * lock + every[1:] * test
    # Ctrl-C from here on ends what is run, and takes nothing back.
    return report(project, found, told, tool, every, now)


def refuse_unsaved(project: Project) -> None:
    """Raise UpdateError when something is not committed: an update that is taken back must take nothing with it."""
    if unsaved := text(project.git("status", "--porcelain")).splitlines():
        more = " and others" if len(unsaved) > 1 else ""
        raise UpdateError(
            f"{unsaved[0].split(maxsplit=1)[1]}{more} is not committed; commit it, or `git stash --include-untracked`"
        )


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Keep other updates of this repository out. Raises UpdateError when one runs."""
    folder = os.open(text(project.git("rev-parse", "--absolute-git-dir")), os.O_RDONLY)  # a lock that leaves no file
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UpdateError("another update runs in this repository; wait for it") from error
        yield
    finally:
        os.close(folder)


def apply(project: Project, head: str, tree: str, found: Merge, message: str) -> None:
    """Put a result into the index and the working tree, all or nothing. Signals wait for it: it is done in a moment."""
    refuse_unsaved(project)
    new = project.git("diff-tree", "-r", "-z", "--name-only", "--diff-filter=A", "--no-renames", head, tree)
    ends = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # for git as well, which ends by what others ignore
    try:
        project.git("read-tree", "-m", "-u", head, tree)
        stages = "".join(f"{line}\0" for lines in found.conflicts.values() for line in lines)
        project.git("update-index", "-z", "--index-info", data=stages.encode("utf-8", "surrogateescape"))
        (project.top / text(project.git("rev-parse", "--git-path", "MERGE_MSG"))).write_text(message, encoding="utf-8")
    except (UpdateError, OSError) as error:
        for path in filter(None, new.decode("utf-8", "surrogateescape").split("\0")):
            (project.top / path).unlink(missing_ok=True)  # first, so that a full disk has room for what was there
            with suppress(OSError):
                os.removedirs((project.top / path).parent)  # those that are empty
        project.git("read-tree", "--reset", "-u", head)
        raise UpdateError(f"{error}; all is as it was: see to rights and room there, and try again") from error
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
        signal.signal(signal.SIGINT, before)


def report(
    project: Project, found: Merge, told: Sequence[str], tool: Sequence[str], every: Sequence[str], now: Sequence[str]
) -> int:
    """Make the locks anew, run what checks the service, and say what passed and what is left to do.

    Args:
        tool: the command that does this.
        every: what it is told to do, one after the other.
        now: what of this is done here.
    """
    shown = " ".join(tool)
    print()
    for line in [*told, *found.notes]:
        print(f"  {line}")
    if found.conflicts:
        print(f"In conflict, because you and the template changed the same lines: {', '.join(found.conflicts)}")
        print(f"Resolve them, then: git add --all && {shown} {' '.join(every)} && git add --all && git commit")
        print("To take all of this back: git reset --hard")
        return 1
    passed, failed = [], ""
    command = [sys.executable if word == "python" else word for word in tool]
    for target in now:
        try:
            status = subprocess.call([*command, target], cwd=project.folder)
        except KeyboardInterrupt:
            status = 130
        if status:
            failed = target
            break
        passed.append(target)
        project.git("add", "--all", "--", project.prefix or ".")
    left = [target for target in every if target not in passed]
    print(f"\nUpdated{', passed: ' + ', '.join(passed) if passed else ''}{f', FAILED: {failed}' if failed else ''}.")
    print("Look at it with `git diff --staged`", end="")
    print(f", run `{shown} {' '.join(left)}`" if left else "", end="")
    print(", then `git commit`. To take all of it back: git reset --hard")
    return 1 if failed else 0
