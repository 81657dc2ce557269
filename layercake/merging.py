"""Brings what the template has changed into a project, by git's own three-way merge. Nothing is checked out here."""

import fnmatch
import hashlib
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from layercake.releases import Files, UpdateError, git, text

Entries = dict[str, tuple[str, str]]
"""Git's mode and the object of each file, by its path in the project."""
GENERATED = ("openapi.json",)
"""Made from the code: in a conflict the project's own stays, until `make openapi` writes it anew."""
STEPS = re.compile(
    r"# Large packages .*written by `make lock`\.\n[\s\S]*?# End of what `make lock` writes\.\n"
    r"|FROM system AS layers\nCOPY --link --from=baseline /layer/ /\n"
)
"""What `make lock` writes into a Dockerfile, and what stands there without."""
GIT = [2, 38]
"""The first release of git that merges without a working tree: `git merge-tree --write-tree`."""
NOBODY = ("-c", "user.name=layercake", "-c", "user.email=layercake")
CONFIG = ("-c", "merge.renames=true", "-c", "merge.directoryRenames=true", "-c", "merge.renameLimit=10000")
OURS, THEIRS = "yours", "template"
Stages = dict[int, tuple[str, str]]
"""What a file in conflict was before (1), is for the team (2) and for the template (3): mode and object."""


class Merge(NamedTuple):
    """What came of it."""

    entries: Entries
    conflicts: dict[str, list[str]]
    """The lines for `git update-index --index-info` of each file in conflict."""
    notes: list[str]
    """What was not applied, or applied elsewhere, each in one line."""


class Project(NamedTuple):
    """A service in its repository, which may hold others."""

    top: Path
    prefix: str
    """Where it is there, ending with a slash; empty at the top."""
    env: Mapping[str, str]
    """What git is told besides."""

    @classmethod
    def at(cls, folder: Path, scratch: Path | None = None) -> "Project":
        """Return the project in a folder. With `scratch`, new objects go there and not into the repository."""
        version = text(git(folder, "--version")).removeprefix("git version ")
        if [*map(int, re.findall(r"\d+", version)[:2])] < GIT:
            needed = ".".join(map(str, GIT))
            raise UpdateError(f"git {version} is too old to merge this way; install git {needed} or newer")
        try:
            top = Path(text(git(folder, "rev-parse", "--show-toplevel")))
            git(folder, "rev-parse", "--verify", "HEAD")
        except UpdateError as error:
            raise UpdateError(
                f"{folder} is no git repository with a commit; an update needs one to come back to"
            ) from error
        env = {}
        if scratch:
            scratch.mkdir()
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(top / text(git(top, "rev-parse", "--git-path", "objects")))
            env["GIT_OBJECT_DIRECTORY"] = str(scratch)
        return cls(top, text(git(folder, "rev-parse", "--show-prefix")), env)

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.top / self.prefix

    def git(
        self, *arguments: str | Path, data: bytes = b"", good: Collection[int] = (0,), index: Path | None = None
    ) -> bytes:
        """Return what a git command prints; with `index`, in place of the repository's own."""
        env = {**self.env, **({"GIT_INDEX_FILE": str(index)} if index else {})}
        return git(self.top, *arguments, data=data, good=good, env=env)

    def entries(self, tree: str) -> Entries:
        """Return what is in a tree."""
        found = (
            line.partition("\t")
            for line in self.git("ls-tree", "-r", "-z", tree).decode("utf-8", "surrogateescape").split("\0")[:-1]
        )
        return {path: (about.split()[0], about.split()[2]) for about, _, path in found}

    def read(self, entry: tuple[str, str] | None) -> str:
        """Return the text of a file, empty when there is none."""
        return self.git("cat-file", "blob", entry[1]).decode("utf-8", "surrogateescape") if entry else ""

    def blob(self, content: bytes) -> str:
        """Return the object that a content would be."""
        return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()

    def write(self, content: str) -> str:
        """Return the object of a text."""
        return text(self.git("hash-object", "-w", "--stdin", data=content.encode("utf-8", "surrogateescape")))

    def store(self, files: Files, work: Path) -> Entries:
        """Return the objects of files, byte by byte as they are."""
        work.mkdir()
        for number, (_, content) in enumerate(files.values()):
            (work / str(number)).write_bytes(content)
        names = "".join(f"{work / str(number)}\n" for number in range(len(files)))
        objects = self.git("hash-object", "-w", "--no-filters", "--stdin-paths", data=names.encode()).decode().split()
        return {path: (mode, found) for (path, (mode, _)), found in zip(files.items(), objects, strict=True)}

    def tree(self, entries: Entries, index: Path, base: str = "", replaced: Iterable[str] = ()) -> str:
        """Return the tree of these files; with `base`, that tree with these files in place of others."""
        self.git("read-tree", base or "--empty", index=index)
        lines = [f"0 {'0' * 40}\t{path}" for path in replaced] + [
            f"{mode} {found}\t{path}" for path, (mode, found) in entries.items()
        ]
        data = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
        self.git("update-index", "-z", "--index-info", data=data, index=index)
        return text(self.git("write-tree", index=index))


def skipped(files: Files) -> list[str]:
    """Return what a project makes itself: the patterns that its pyproject.toml tells cruft as well."""
    try:
        found = tomllib.loads(files["pyproject.toml"][1].decode())["tool"]["cruft"]["skip"]
    except (LookupError, ValueError):  # there is none, or a merge has left it in pieces
        return []
    return [str(pattern) for pattern in found]


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Return whether a path is like one of the patterns; a star stands for folders too."""
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def without_locks(files: Files, ours: Collection[str], base: Collection[str], patterns: Iterable[str]) -> Files:
    """Return the files without those that a project makes itself; a lock that it has never had is kept."""

    def is_own(path: str) -> bool:
        return matches(path, patterns) and (path in ours or path in base)

    return {path: file for path, file in files.items() if not is_own(path)}


def with_steps_of(files: Files, dockerfile: str) -> Files:
    """Return the files with the Dockerfile's steps that `make lock` writes as a project has them."""
    own = STEPS.search(dockerfile)
    mode, content = files.get("Dockerfile", ("", b""))
    if not own or not content:
        return files
    return files | {"Dockerfile": (mode, STEPS.sub(lambda _: own[0], content.decode(), count=1).encode())}


def migrate(project: Project, ours: Entries, files: Iterable[Path], package: str) -> tuple[Entries, list[str]]:
    """Return the project as the migrations of some releases leave it, and what they tell people.

    A migration is a TOML file; {package} stands for the name of the package:

        tell = ["what people have to know"]
        [[rename]]
        from = "{package}/old.py"
        to = "{package}/new.py"
        [[rewrite]]
        files = "*.py"            # a star stands for folders too
        line = "from x import (.+)"
        to = 'from y import \\1'
    """
    told = []
    for file in files:
        steps: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8").replace("{package}", package))
        told += steps.get("tell", [])
        for step in steps.get("rename", []):
            if step["from"] in ours and step["to"] in ours:
                told.append(
                    f"{step['from']} stays where it is, because there is a file {step['to']}; make one of the two"
                )
                continue
            ours = {step["to"] if path == step["from"] else path: entry for path, entry in ours.items()}
        for step in steps.get("rewrite", []):
            for path in fnmatch.filter(ours, step["files"]):
                before = project.read(ours[path])
                if (after := re.sub(rf"(?m)^{step['line']}$", step["to"], before)) != before:
                    ours = ours | {path: (ours[path][0], project.write(after))}
    return ours, told


def merge(project: Project, base: Entries, ours: Entries, theirs: Entries, work: Path) -> Merge:
    """Return what a project becomes when the difference of two renderings is brought over.

    What only one side has deleted stays deleted when the other is the template's, and stays when it is the team's.
    """
    trees = [project.tree(entries, work) for entries in (base, ours, theirs)]
    old = commit(project, trees[0])
    mine, new = (commit(project, tree, "-p", old) for tree in trees[1:])
    tree, stages, said = merged(project, mine, new)
    result, conflicts, notes = project.entries(tree), {}, []
    twice = [each.paths for each in said if each.kind == "CONFLICT (rename/rename)" and len(each.paths) == 3]
    for before, place, theirs_place in twice:
        found = {**stages.pop(before, {}), **stages.pop(place, {}), **stages.pop(theirs_place, {})}
        result.pop(theirs_place, None)
        notes.append(f"{before} stays where you moved it, {place}; the template moved it to {theirs_place}")
        if "<<<<<<< " in project.read(result.get(place)):
            stages[place] = found
    for path, found in stages.items():
        if path in GENERATED and 2 in found:
            result[path] = found[2]
            notes.append(f"{path} is as you had it; `make openapi` writes it anew")
        elif found.keys() == {1, 3}:
            result.pop(path, None)
            path = path.removesuffix(f"~{new}")  # git's name for it, where the team has something else there
            notes.append(f"{path} stays deleted; what the template changed: git diff {old[:10]} {new[:10]} -- {path}")
        elif found.keys() == {1, 2}:
            result[path] = found[2]
            notes.append(f"{path} stays, with what you changed; the template no longer has it")
        else:
            named = project.read(result.get(path)).replace(mine, OURS).replace(new, THEIRS).replace(old, "before")
            if path in result and result[path] not in found.values():
                result[path] = (result[path][0], project.write(named))
            lines = [f"0 {'0' * 40}\t{project.prefix}{path}"]
            conflicts[path] = lines + [
                f"{mode} {sha} {stage}\t{project.prefix}{path}" for stage, (mode, sha) in sorted(found.items())
            ]
    notes += [each.message for each in said if "split" in each.kind]
    notes += still_imported(project, ours.keys() - result.keys(), result)
    return Merge(result, conflicts, [*followed(project, trees[0], trees[1], base, theirs), *notes])


def still_imported(project: Project, gone: Collection[str], result: Entries) -> list[str]:
    """Return a line for each module that is gone, and that a file imports."""
    lines = []
    for path in sorted(path for path in gone if path.endswith(".py")):
        folder, _, name = path.removesuffix(".py").replace("/", ".").rpartition(".")
        imports = re.compile(
            rf"(?m)^\s*(?:(?:from|import) {re.escape(f'{folder}.{name}')}\b"
            rf"|from {re.escape(folder)} import (?:\([^)]*|.*)\b{re.escape(name)}\b)"
        )
        if using := [file for file in result if file.endswith(".py") and imports.search(project.read(result[file]))]:
            lines.append(f"{path} is gone from the template, and is imported by {', '.join(using)}")
    return lines


def commit(project: Project, tree: str, *parents: str) -> str:
    """Return a commit that is in no branch."""
    return text(project.git(*NOBODY, "commit-tree", tree, *parents, "-m", "layercake"))


class Said(NamedTuple):
    """What git says of a merge."""

    kind: str
    paths: list[str]
    message: str


def merged(project: Project, mine: str, new: str) -> tuple[str, dict[str, Stages], list[Said]]:
    """Return the tree that git makes of two commits, the stages of each file in conflict, and what git says."""
    output = project.git(*CONFIG, "merge-tree", "--write-tree", "-z", "--messages", mine, new, good=(0, 1))
    tree, *words = output.decode("utf-8", "surrogateescape").split("\0")[:-1]
    stages: dict[str, Stages] = {}
    end = words.index("")
    for about, _, path in (line.partition("\t") for line in words[:end]):
        mode, found, stage = about.split()
        stages.setdefault(path, {})[int(stage)] = (mode, found)
    said, words = [], words[end + 1 :]
    while words:
        count = int(words[0])
        said.append(Said(words[count + 1], words[1 : count + 1], words[count + 2].strip()))
        words = words[count + 3 :]
    return tree, stages, said


def followed(project: Project, base_tree: str, ours_tree: str, base: Entries, theirs: Entries) -> list[str]:
    """Return a line for each file that a team moved and the template changed."""
    found = project.git("diff-tree", "-r", "-z", "-M", "--name-status", "--diff-filter=R", base_tree, ours_tree).decode(
        "utf-8", "surrogateescape"
    )
    moves = found.split("\0")[:-1]
    pairs = zip(moves[1::3], moves[2::3], strict=True)
    return [
        f"{place} got what the template changed in {path}"
        for path, place in pairs
        if path in theirs and theirs[path] != base[path]
    ]
