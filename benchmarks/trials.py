"""Changes to our own image that were tried: measured like the variants, kept only when they win."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import variants
from benchmarks.measure import BenchmarkError
from benchmarks.variants import OURS, Variant, write

NO_BYTECODE = Variant("trial-no-bytecode", "no library bytecode", "The standard library as the base image has it.")
START_BYTECODE = Variant(
    "trial-start-bytecode",
    "more library bytecode",
    "Bytecode for every module of the standard library that a start imports, not for the slowest only.",
)
ALL_BYTECODE = Variant(
    "trial-all-bytecode",
    "all library bytecode",
    "Bytecode for the whole standard library.",
)
ZSTD = Variant("trial-zstd", "zstd layers", "Layers made here are compressed with zstd; those of the base image stay.")
PIP = Variant(
    "trial-pip", "pip instead of uv", "The pip of the base image installs: no 18 MB of uv have to come first."
)
UV_SYNC = Variant(
    "trial-uv-sync", "uv pip sync", "The last step is uv's own command, handed the whole lock, with its bytecode."
)
TRIALS = (NO_BYTECODE, START_BYTECODE, ALL_BYTECODE, ZSTD, PIP, UV_SYNC)
EVENTS = ("empty", "added")
"""What is measured of them."""

COMPILE = re.compile(r"    python -I -c 'import ([^']*)' && \\\n")
STARTED = "asyncio, dataclasses, decimal, difflib, fractions, gzip, http.server, importlib.readers, locale, logging.config, logging.handlers, mimetypes, pdb, pickle, platform, pprint, secrets, shlex, stringprep, subprocess, sysconfig, timeit, urllib.request, uuid, wsgiref.simple_server, zoneinfo"
"""What a start imports besides."""

INSTALL_UV = re.compile(r"(FROM python AS tools\nRUN )(?:.*\\\n)+.*\n")
PIP_AS_UV = r"""mkdir -p /tools/bin && cp -r /usr/local/lib/python*/site-packages/pip /tools/pip && \
    printf '%s\n' '#!/bin/sh' 'python=$4; shift 4; set -- "$@" --no-compile --no-warn-script-location' \
    'set -- $(echo "$@" | sed "s/--no-build/--only-binary :all:/; s/--link-mode copy//")' \
    'PIP_CACHE_DIR=/root/.cache/uv exec python /tmp/tools/pip --python "$python" install "$@"' >/tools/bin/uv && chmod 755 /tools/bin/uv
"""
"""A command that takes the options which tools/sync.py gives uv."""

OUR_SYNC = "python -S /tmp/tools/sync.py --have /tmp/layers/*.lock --want /tmp/prod.txt"
THEIR_SYNC = (
    "/tmp/tools/bin/uv pip sync --python /opt/venv/bin/python --link-mode copy --no-build --require-hashes "
    "--compile-bytecode /tmp/prod.txt"
)

CHANGES: dict[Variant, Callable[[str], str]] = {
    NO_BYTECODE: lambda text: COMPILE.sub("", text),
    START_BYTECODE: lambda text: COMPILE.sub(lambda line: line[0].replace(line[1], f"{line[1]}, {STARTED}"), text),
    ALL_BYTECODE: lambda text: COMPILE.sub(
        lambda _: (
            "    python -m compileall -q -j 0 \"$(python -c 'import os; print(os.path.dirname(os.__file__))')\" && \\\n"
        ),
        text,
    ),
    PIP: lambda text: INSTALL_UV.sub(lambda line: line[1] + PIP_AS_UV, text).replace(
        "id=uv.toml,target=/etc/uv/uv.toml", "id=pip.conf,target=/etc/pip.conf"
    ),
    UV_SYNC: lambda text: text.replace(OUR_SYNC, THEIR_SYNC),
}


def prepare(
    variant: Variant, project: Path, lock: str, baseline: str, index_url: str, sizes: Mapping[str, int]
) -> None:
    """Write what a variant or a trial installs from. Raises BenchmarkError when a trial no longer fits the Dockerfile."""
    if variant not in TRIALS:
        variants.prepare(variant, project, lock, baseline, index_url, sizes)
        return
    variants.prepare(OURS, project, lock, baseline, index_url, sizes)
    text = (project / OURS.dockerfile).read_text(encoding="utf-8")
    if change := CHANGES.get(variant):
        before, text = text, change(text)
        if text == before:
            raise BenchmarkError(f"{variant.name}: nothing in the Dockerfile to change; adapt benchmarks/trials.py")
    write(project / variant.dockerfile, text)


def output_of(variant: Variant) -> str:
    """Return what is added to the output of a build."""
    return ",compression=zstd" if variant == ZSTD else ""
