#!/bin/sh
# Makes /opt/venv hold exactly what the given locks list: installs what is missing or different, removes
# the rest, touches nothing else. The Dockerfile runs it once for each layer of packages.
set -eu
venv=/opt/venv
work=$(mktemp -d -p /dev/shm)  # not in the layer
trap 'rm -rf "$work"' EXIT
: >"$work/started"

[ -d "$venv" ] || python -m venv --without-pip "$venv"

# Only the difference goes to uv, which would ask the package index about everything that is there already.
gone=$(find "$venv"/lib/python*/site-packages -maxdepth 1 -name '*.dist-info' -printf '%f\n' | awk -v missing="$work/missing.txt" '
    function normal(name) { gsub(/[-_.]+/, "-", name); return tolower(name) }
    FILENAME == "-" { sub(/\.dist-info$/, ""); cut = match($0, /-[^-]*$/)
                      have[normal(substr($0, 1, cut - 1))] = substr($0, cut + 1); next }
    /^[^ ]/ { name = version = $1; sub(/[[=].*/, "", name); sub(/.*==/, "", version); sub(/;.*/, "", version)
              name = normal(name); wanted[name]; copying = /^[A-Za-z0-9]/ && have[name] != version }
    copying { print >missing }
    END { for (name in have) if (have[name] && !(name in wanted)) print name }
' - "$@")
# shellcheck disable=SC2086 # names, one word each
[ -z "$gone" ] || /tmp/bin/uv pip uninstall --python "$venv" $gone
[ ! -e "$work/missing.txt" ] || /tmp/bin/uv pip install --python "$venv" \
    --no-deps --require-hashes --no-build --link-mode copy --requirements "$work/missing.txt" || {
    echo "sync.sh: a package could not be installed, see above. If it has no wheel for this Python," >&2
    echo "sync.sh: see 'A package without a wheel' in README.md." >&2
    exit 1
}

# Bytecode for what is new. It is valid whatever its timestamp: in layers with rewritten times, Python would
# compile it again at every start. Sorted and in chunks of one size, so that every machine writes the same bytes.
# The pyc header is that of PEP 552; py_compile would import half of a standard library that has no bytecode itself.
find "$venv" -name '*.py' -cnewer "$work/started" -print0 | sort -z | xargs -0 -r -n 100 -P "$(nproc)" python -B -I -S -c '
import importlib.util, marshal, os, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # a sample for another Python: found out if it is ever imported
        continue
    target = importlib.util.cache_from_source(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(source) + marshal.dumps(code))'

# A fixed date for what is new: whoever builds this layer again gets the same bytes, and nobody pushes or pulls it twice.
find /opt -cnewer "$work/started" -exec touch -h -d 1980-01-01T00:00:00Z {} +
