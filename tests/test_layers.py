"""tools/layers.py and what tools/lock.py does with it: which package is in which layer of the image."""

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Bake
from tests.locking import lock, module, pins, requirements, write
from tests.package_index import HEAVY, PASSWORD, USER, WHEELS, PackageIndex
from tests.support import SCAFFOLD, Project, tool
from tests.wheels import Wheel

layers: Any = module(SCAFFOLD / "tools" / "layers.py")
DOCKERFILE = (SCAFFOLD / "Dockerfile").read_text(encoding="utf-8")
LARGE = layers.LARGE
SIZES = layers.Sizes({"large==1": LARGE, "middle==1": LARGE - 1, "smaller==1": LARGE // 2, "small==1": LARGE // 2 - 1})
EMPTY = layers.Layers({}, {}, {})


def locked(*names: str) -> dict[str, Any]:
    """Return a lock of these packages, version 1 unless it is said."""
    lines = (f"{name if '==' in name else f'{name}==1'} --hash=sha256:00\n" for name in names)
    return dict(layers.parse("".join(lines), "prod.txt"))


def planned(
    *names: str,
    before: Any = EMPTY,
    sizes: Any = SIZES,
    rebaseline: bool = False,
    always: str = "",
    never: str = "",
) -> tuple[set[str], set[str]]:
    """Return what shares a layer and what has one of its own, in the plan for a lock of these packages."""
    wishes = layers.Wishes(frozenset(always.split()), frozenset(never.split()))
    plan = layers.plan(locked(*names), before, sizes, wishes, layers.SHARED if rebaseline else (), names)
    return {*plan.baseline, *plan.service}, set(plan.own)


# Which package is where


def test_a_package_is_large_from_the_threshold_on_and_stays_so_down_to_half_of_it() -> None:
    assert planned("large", "middle", rebaseline=True) == ({"middle"}, {"large"})
    was_large = EMPTY._replace(own=locked("middle", "smaller", "small"))
    assert planned("middle", "smaller", "small", before=was_large, rebaseline=True) == (
        {"small"},
        {"middle", "smaller"},
    )


def test_between_two_baselines_only_what_is_new_is_judged_by_its_size() -> None:
    before = layers.Layers(locked("tiny", "large"), {}, locked("smaller"))
    assert planned("tiny", "large", "smaller", before=before) == ({"tiny", "large"}, {"smaller"})
    new = layers.Sizes({"large==1": LARGE, "new==1": LARGE, "smaller==1": LARGE // 2})
    assert planned("tiny", "large", "smaller", "new", "other", before=before, sizes=new) == (
        {"tiny", "large"},
        {"smaller", "new"},
    )


def test_the_baseline_keeps_its_versions_and_what_was_removed_until_it_is_taken_anew() -> None:
    before = layers.Layers(locked("tiny", "gone"), locked("ours", "lost"), locked("large", "away"))
    now = locked("tiny==2", "ours==2", "large==2", "new")
    large = locked("large==2")

    def after(*renew: str) -> Any:
        return layers.plan(now, before, SIZES, layers.Wishes(), renew, ["tiny", "gone", "large"])

    assert after() == layers.Layers(locked("gone", "tiny"), locked("lost", "ours"), large)
    assert after("baseline") == layers.Layers(locked("tiny==2"), locked("lost", "ours"), large)
    assert after("service") == layers.Layers(locked("gone", "tiny"), locked("new", "ours==2"), large)
    assert after("baseline", "service") == layers.Layers(locked("tiny==2"), locked("new", "ours==2"), large)


def test_a_package_that_becomes_one_of_every_service_moves_when_the_layers_are_made_anew() -> None:
    before = layers.Layers(locked("a"), locked("b"), {})
    plans = [layers.plan(locked("a", "b"), before, SIZES, layers.Wishes(), it, "ab") for it in ((), layers.SHARED)]
    assert plans == [before, layers.Layers(locked("a", "b"), {}, {})]


@pytest.mark.parametrize("rebaseline", [False, True])
def test_people_have_the_last_word(rebaseline: bool) -> None:
    before = layers.Layers(locked("tiny"), {}, locked("large"))
    names = ("tiny", "large", "middle")
    found = planned(*names, before=before, rebaseline=rebaseline, always="tiny middle", never="large")
    assert found == ({"large"} if rebaseline else set(), {"tiny", "middle"})


def test_no_more_than_most_packages_have_a_layer_the_largest_first() -> None:
    names = [f"p{n}" for n in range(layers.MOST + 2)]
    sizes = layers.Sizes({f"{name}==1": LARGE + n for n, name in enumerate(names)})
    assert planned(*names, sizes=sizes, rebaseline=True) == ({"p0", "p1"}, set(names[2:]))


@pytest.mark.parametrize("name", layers.SHARED)
def test_a_package_with_the_name_of_a_shared_layer_has_none_of_its_own(name: str) -> None:
    sizes = layers.Sizes({f"{name}==1": 10**9})
    assert planned(name, sizes=sizes, rebaseline=True, always=name) == ({name}, set())


# Sizes


def test_a_size_is_that_of_the_version_else_of_another_else_nothing() -> None:
    sizes = layers.Sizes({"large==1": 5, "large==2": 7, "large-er==1": 9, "model @ https://host/model.whl": 11})
    one, longer, other = locked("large", "large-er", "other").values()
    (three,) = locked("large==3").values()
    model = layers.Pin("model", " @ https://host/model-2.whl", "", ("sha256:00",))
    assert [sizes.of(pin) for pin in (one, three, longer, other, model)] == [5, 7, 9, 0, 11]
    assert sizes.kept([one]) == {"large==1": 5}
    assert sizes.kept([three]) == {"large==1": 5, "large==2": 7}
    assert sizes.missing([one, three, model]) == [three, model]


def test_the_share_that_has_changed_is_one_of_bytes_and_counts_what_was_removed() -> None:
    sizes = layers.Sizes({"a==1": 10, "a==2": 30, "b==1": 60, "c==1": 10, "gone==1": 50})
    assert layers.share_changed(locked("a", "b"), locked("a", "b"), sizes) == 0
    assert layers.share_changed(locked("a==2", "b", "c"), locked("a", "b"), sizes) == 0.4
    assert layers.share_changed(locked("b", "c"), locked("b", "c", "gone"), sizes) == 50 / 120
    assert layers.share_changed({}, locked("gone"), sizes) == 1
    assert layers.share_changed(locked("a", "b"), locked("a"), layers.Sizes({})) == 0
    assert layers.share_changed({}, {}, sizes) == 0


def test_each_shared_layer_is_judged_by_its_own_packages() -> None:
    sizes = layers.Sizes(dict.fromkeys(["a==1", "a==2", "b==1", "ours==1", "ours==2", "new==1"], 10))
    now = layers.Layers(locked("a", "b"), locked("ours"), {})
    assert layers.overgrown(locked("a", "b", "ours"), now, sizes, "ab") == []
    assert layers.overgrown(locked("a==2", "b", "ours"), now, sizes, "ab") == ["baseline"]
    assert layers.overgrown(locked("a", "b", "ours", "new"), now, sizes, "ab") == ["service"]
    assert layers.overgrown(locked("a==2", "b", "ours==2"), now, sizes, "ab") == ["baseline", "service"]
    assert layers.overgrown(locked("a", "b"), now, sizes, "ab") == ["service"], "nothing in it is needed any more"
    for ours in (["ours"], ["other"], []):
        found = layers.overgrown(locked("a==2", "b", *ours), now._replace(service=locked(*ours)), sizes, "ab")
        assert found == ["baseline"], "services that are upgraded together renew it together"


# The file of the baseline


def test_the_baseline_is_read_as_it_was_written() -> None:
    text = layers.write_shared(locked("b", "a"))
    assert layers.read_shared(text, "baseline.lock") == locked("a", "b")
    assert layers.write_shared(locked("a", "b")) == text
    assert layers.read_shared(layers.write_shared({}), "baseline.lock") == {}


def test_sizes_are_read_out_of_what_a_merge_left() -> None:
    text = '{\n<<<<<<< HEAD\n  "a==1": 5,\n=======\n  "b @ https://host/b.whl": 70,\n>>>>>>> other\n}\n'
    assert layers.Sizes.read(text).known == {"a==1": 5, "b @ https://host/b.whl": 70}
    assert layers.Sizes.read("").known == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.replace("b==1", "b==2"),
        lambda text: text.replace("sha256:00", "sha256:01", 1),
        lambda text: text[: text.index("b==1")],
        lambda text: text[text.index("a==1") :],
        lambda text: text + "c==1 --hash=sha256:00\n",
        lambda text: f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> other\n",
    ],
    ids=["emptied", "version", "hash", "cut", "head", "added", "conflict"],
)
def test_a_baseline_that_was_edited_is_refused(change: Callable[[str], str]) -> None:
    text = change(layers.write_shared(locked("a", "b")))
    with pytest.raises(
        layers.LockError, match=r"^baseline\.lock is not as it was written; restore it, or run `make rebaseline`$"
    ):
        layers.read_shared(text, "baseline.lock")


@pytest.mark.parametrize(
    ("baseline", "now", "newer"),
    [
        ("a==1.10", "a==1.9", True),
        ("a==1.0.1", "a==1.0", True),
        ("a==1.0.post1", "a==1.0", True),
        ("a==2.0", "a==2.0rc1", True),
        ("a==2.0rc1", "a==2.0", False),
        ("a==2.0.dev3", "a==2.0rc1", False),
        ("a==1.0+9", "a==1.0", False),
        ("a==1!1.0", "a==2.0", True),
        ("a==2.0", "a==1!1.0", False),
        ("a==1.0", "a==1.0", False),
        ("a==9", "b==1", False),
    ],
)
def test_the_baseline_is_newer_when_its_version_is(baseline: str, now: str, newer: bool) -> None:
    assert layers.newer(locked(now), locked(baseline)) == (["a"] if newer else [])


def test_the_baseline_is_not_newer_than_what_has_no_version() -> None:
    url = {"a": layers.Pin("a", " @ https://host/a-1.whl", "", ("sha256:00",))}
    assert layers.newer(url, locked("a")) == layers.newer(locked("a"), url) == []


# The lines of the Dockerfile


def test_each_large_package_has_its_lines_between_two_comments_and_writing_them_twice_changes_nothing() -> None:
    text = layers.in_dockerfile(DOCKERFILE, ["torch", "numpy"])
    own = text[text.index(layers.BEGIN) : text.index(layers.END)]
    assert re.findall(r"^FROM base AS package-(\S+)$", own, re.MULTILINE) == ["numpy", "torch"]
    assert re.findall(r"^COPY --link --from=(\S+) /layer/ /$", own, re.MULTILINE) == [
        "package-numpy",
        "package-torch",
        "baseline",
    ]
    assert own.count("source=/layers/torch.lock,target=/tmp/torch.lock") == own.count("--want /tmp/torch.lock") == 1
    assert "baseline.lock" not in own
    assert layers.in_dockerfile(text, ["numpy", "torch"]) == text


def test_a_layer_that_changed_moves_to_the_top_and_the_others_keep_their_places() -> None:
    def order(dockerfile: str) -> list[str]:
        return re.findall(r"(?m)^COPY --link --from=package-(\S+) ", dockerfile)

    text = layers.in_dockerfile(DOCKERFILE, ["numpy", "scipy", "torch"], {"scipy"})
    assert order(text) == ["numpy", "scipy", "torch"]
    text = layers.in_dockerfile(text, ["numpy", "scipy", "torch"], {"numpy"})
    assert order(text) == ["scipy", "torch", "numpy"]
    assert layers.in_dockerfile(text, ["numpy", "scipy", "torch"]) == text
    assert order(layers.in_dockerfile(text, ["numpy", "pandas", "torch"])) == ["torch", "numpy", "pandas"]


def test_what_only_this_service_has_lies_on_the_baseline() -> None:
    text = layers.in_dockerfile(DOCKERFILE, ["service", "torch"])
    own = text[text.index(layers.BEGIN) : text.index(layers.END)]
    assert re.findall(r"^FROM base AS (\S+)$", own, re.MULTILINE) == ["package-torch", "service"]
    assert re.findall(r"--from=(\S+) /layer/ /$", own, re.MULTILINE) == ["package-torch", "baseline", "service"]
    assert own.count("source=/layers/service.lock,target=/tmp/service.lock") == 1
    assert layers.in_dockerfile(text, ["torch", "service"], {"torch"}) == text
    assert layers.in_dockerfile(text, []) == DOCKERFILE


def test_without_large_packages_the_dockerfile_is_byte_for_byte_what_it_was() -> None:
    assert layers.in_dockerfile(DOCKERFILE, []) == DOCKERFILE
    assert layers.in_dockerfile(layers.in_dockerfile(DOCKERFILE, ["numpy", "torch"]), []) == DOCKERFILE
    assert layers.in_dockerfile(layers.in_dockerfile(DOCKERFILE, ["numpy"]), ["torch"]) == layers.in_dockerfile(
        DOCKERFILE, ["torch"]
    )


SECRET = "    --mount=type=secret,id=netrc,target=/root/.netrc \\\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# The image of", "# Ours.\n# The image of"),
        ("FROM base AS system\n", "FROM base AS system\nRUN apt-get update && apt-get install --yes libpq5\n"),
        ("FROM base AS baseline\nRUN ", f"FROM base AS baseline\nENV NETRC=/root/.netrc\nRUN {SECRET.lstrip()}    "),
        ("FROM layers AS packages\n", "FROM layers AS packages\nLABEL ours=yes\n"),
        ('CMD ["gunicorn"]\n', 'CMD ["gunicorn", "--reload"]\n'),
    ],
    ids=["head", "system", "baseline", "packages", "end"],
)
def test_an_edit_anywhere_else_survives(old: str, new: str) -> None:
    edited = DOCKERFILE.replace(old, new, 1)
    assert edited != DOCKERFILE
    with_lines = layers.in_dockerfile(DOCKERFILE, ["numpy"]).replace(old, new, 1)
    text = layers.in_dockerfile(with_lines, ["numpy", "torch"])
    assert text == layers.in_dockerfile(edited, ["numpy", "torch"])
    assert layers.in_dockerfile(text, []) == edited
    assert text.count("target=/root/.netrc") == text.count("ENV NETRC") == (3 if "netrc" in new else 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FROM base AS baseline\n", "FROM base AS most\n"),
        ("COPY --link --from=baseline /layer/ /\n", ""),
        ("FROM system AS layers\n", "FROM system AS layers\nUSER root\n"),
        (layers.FIRST + layers.COPY.format("baseline"), (layers.FIRST + layers.COPY.format("baseline")) * 2),
        (layers.END, ""),
        (layers.BEGIN, ""),
    ],
    ids=["no baseline", "no copy", "another line", "two places", "no end", "no beginning"],
)
def test_a_dockerfile_without_the_place_is_one_clear_error(old: str, new: str) -> None:
    text = DOCKERFILE if old in DOCKERFILE else layers.in_dockerfile(DOCKERFILE, ["numpy"])
    assert old in text
    with pytest.raises(layers.LockError, match=r"^the Dockerfile has no .*; write them as the template does$"):
        layers.in_dockerfile(text.replace(old, new), ["torch"])


def test_the_linter_finds_nothing_in_the_lines(bake: Bake) -> None:
    project = bake()
    assert layers.BEGIN in project.read("Dockerfile")
    subprocess.run([tool("hadolint"), project.path / "Dockerfile"], check=True)


# What people want otherwise


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("[tool.layers]\nalways = ['Flask']\nnever = ['Pydantic_Core']\n", ""),
        ("[tool.layers]\nalwys = []\n", "pyproject.toml: [tool.layers] has 'alwys'; it knows always and never"),
        ("[tool.layers]\nnever = 'flask'\n", "pyproject.toml: 'never' of [tool.layers] is no list; write one of names"),
        ("[tool.layers\n", "pyproject.toml could not be read: Expected '"),
    ],
    ids=["names", "misspelt", "no list", "no TOML"],
)
def test_wishes_stand_in_pyproject(bake: Bake, table: str, reason: str) -> None:
    project = bake()
    with (project.path / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(table)
    before = requirements(project)
    result = lock(project, "rebaseline", check=not reason)
    assert result.stdout.startswith(f"lock: {reason}" if reason else "")
    assert len(result.stdout.splitlines()) == bool(reason)
    if reason:
        assert requirements(project) == before
    else:
        assert own(project) - {"flask"} == own(bake()) - {"pydantic-core"}
        assert {"flask"} <= own(project)


# Locking


def own(project: Project) -> set[str]:
    """Return the packages that have a lock of their own, and lines in the Dockerfile."""
    found = {path.stem for path in (project.path / "requirements" / "layers").glob("*.lock")} - {*layers.SHARED}
    assert set(re.findall(r"--from=package-(\S+) ", project.read("Dockerfile"))) == found
    return found


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    """Return the files that are not the same."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


@pytest.mark.slow
def test_a_large_package_comes_and_goes_with_its_layer_and_touches_no_other(small: Project) -> None:
    nothing = requirements(small)
    assert own(small) == set()
    write(small, "prod.in", "layer-alpha\nlayer-beta\nlayer-heavy<5.1\n")
    lock(small, "compile")
    added = requirements(small)
    files = {"prod.in", "prod.txt", "layers/layer-heavy.lock", "layers/sizes.json"}
    assert changed(nothing, added) == files | {"../Dockerfile"}
    assert own(small) == {"layer-heavy"}
    assert pins(small, "layers/layer-heavy.lock") == {"layer-heavy==5.0"}
    size = len(WHEELS["layer_heavy-5.0-py3-none-any.whl"])
    assert f'"layer-heavy==5.0": {size}' in small.read("requirements/layers/sizes.json")
    assert size > HEAVY
    lock(small, "check")

    write(small, "prod.in", "layer-alpha\nlayer-beta\nlayer-heavy>5.0\n")
    lock(small, "compile")
    assert changed(added, requirements(small)) == files - {"layers/sizes.json"}  # that of a version will do

    write(small, "prod.in", "layer-alpha\nlayer-beta\n")
    lock(small, "compile")
    assert requirements(small) == nothing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("sizeless", "the package index does not tell the size of layer-heavy, so it gets no layer of its own."),
        ("", "the size of layer-heavy is not known, so it gets no layer of its own: asking for sizes failed: "),
    ],
    ids=["no sizes", "no index"],
)
def test_without_sizes_one_line_says_so_and_the_package_has_no_layer(
    small: Project, index: PackageIndex, place: str, words: str
) -> None:
    before = requirements(small)
    write(small, "prod.in", "layer-alpha\nlayer-beta\nlayer-heavy\n")
    url = index.url(place) if place else "http://127.0.0.1:9/simple"
    lock(small, "compile", UV_DEFAULT_INDEX=index.url("sizeless"))
    assert changed(before, requirements(small)) == {"prod.in", "prod.txt"}
    result = lock(small, "rebaseline", UV_DEFAULT_INDEX=url, UV_HTTP_RETRIES="0")
    assert [line for line in result.stdout.splitlines() if line.startswith(f"lock: {words}")], result.stdout
    assert pins(small, "layers/baseline.lock") | pins(small, "layers/service.lock") == pins(small)
    assert own(small) == set()


@pytest.mark.slow
def test_what_comes_by_url_or_is_a_file_of_the_project_has_a_layer_like_any_other(
    small: Project, index: PackageIndex
) -> None:
    file = "layer_heavy-5.0-py3-none-any.whl"
    url = index.url(f"open/{file}").replace(f"{USER}:{PASSWORD}@", "")
    write(small, "prod.in", f"layer-alpha\nlayer-beta\nlayer-heavy @ {url}\n")
    lock(small, "compile")
    assert own(small) == {"layer-heavy"}
    assert small.read("requirements/layers/layer-heavy.lock").startswith(f"layer-heavy @ {url} \\\n    --hash=sha256:")
    lock(small, "check")

    (small.path / "requirements" / "wheels").mkdir()
    (small.path / "requirements" / "wheels" / "ours-1-py3-none-any.whl").write_bytes(
        Wheel("ours", files={"ours.txt": "x" * HEAVY}).pack()
    )
    write(small, "prod.in", "layer-alpha\nlayer-beta\nours\n")
    lock(small, "compile")
    assert own(small) == {"ours"}
    lock(small, "check")


@pytest.mark.slow
def test_check_names_the_command_for_layers_that_are_not_as_they_were_written(small: Project) -> None:
    write(small, "prod.in", "layer-alpha\nlayer-beta\nlayer-heavy\n")
    lock(small, "compile")
    whole = requirements(small)
    baseline = module(small.path / "tools" / "layers.py")

    def complaint(name: str, text: str, command: str) -> str:
        write(small, name, text)
        before = requirements(small)
        result = lock(small, "check", check=False)
        assert result.returncode == 1
        assert requirements(small) == before
        assert f" run `make {command}`." in result.stdout
        lock(small, "compile" if command == "lock" else command)
        assert requirements(small) == whole
        return result.stdout.splitlines()[-1].split("; run")[0].removesuffix(f" run `make {command}`.")

    stale = "lock: the Dockerfile does not have the layers that requirements/layers/ lists"
    edited = "lock: requirements/layers/baseline.lock is not as it was written; restore it, or"
    dockerfile, text = whole["../Dockerfile"].decode(), whole["layers/baseline.lock"].decode()
    assert complaint("../Dockerfile", baseline.in_dockerfile(dockerfile, []), "lock") == stale
    assert complaint("../Dockerfile", dockerfile.replace("--from=package-layer-heavy", "--from=old"), "lock") == stale
    step = dockerfile.replace("FROM base AS baseline\n", "FROM base AS baseline\nENV OURS=1\n")
    write(small, "../Dockerfile", step)
    assert lock(small, "check", check=False).stdout.splitlines()[-1] == f"{stale}; run `make lock`."
    write(small, "../Dockerfile", dockerfile)
    assert complaint("layers/baseline.lock", "", "rebaseline") == edited
    assert complaint("layers/baseline.lock", text.replace("beta==2.0", "beta==1.0"), "rebaseline") == edited
    newer = baseline.write_shared(baseline.parse(text.replace("beta==2.0", "beta==2.1"), "baseline.lock"))
    assert complaint("layers/baseline.lock", newer, "lock") == (
        "lock: requirements/layers/baseline.lock has a newer layer-beta than requirements/prod.txt"
    )
    (small.path / "requirements" / "layers" / "service.lock").write_text(
        baseline.write_shared(baseline.parse(whole["layers/layer-heavy.lock"].decode(), "")), encoding="utf-8"
    )
    twice = lock(small, "check", check=False).stdout.splitlines()[-1]
    assert twice == "lock: requirements/layers/ has layer-heavy in two layers; run `make lock`."
    lock(small, "compile")
    assert requirements(small) == whole
    heavy = "requirements/layers/layer-heavy.lock"
    assert complaint("layers/layer-heavy.lock", "", "lock") == (
        f"lock: {heavy} does not pin layer-heavy, and nothing else"
    )
    (small.path / "requirements" / "layers" / "baseline.lock").unlink()
    assert lock(small, "check", check=False).stdout.splitlines()[-1] == f"{edited} run `make rebaseline`."


@pytest.mark.slow
def test_locking_refuses_a_baseline_that_was_edited_and_replaces_one_that_a_downgrade_made_newer(
    small: Project,
) -> None:
    text = small.read("requirements/layers/baseline.lock")
    write(small, "layers/baseline.lock", text.replace("beta==2.0", "beta==1.0"))
    before = requirements(small)
    result = lock(small, "compile", check=False)
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == (
        "lock: requirements/layers/baseline.lock is not as it was written; restore it, or run `make rebaseline`; "
        "every lock is as it was."
    )
    assert requirements(small) == before
    write(small, "layers/baseline.lock", text)
    write(small, "prod.in", "layer-alpha<1.1\nlayer-beta\n")
    lock(small, "compile")
    assert pins(small, "layers/baseline.lock") == {"layer-alpha==1.0", "layer-beta==2.0"}
    lock(small, "check")
