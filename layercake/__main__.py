"""The command `layercake`, which services call: `cache-check` at the release they were made from, `update` at that to come."""

import importlib
import sys

COMMANDS = {"adopt": "adopt", "cache-check": "cache_check", "fleet": "fleet", "link": "link", "update": "update"}
"""The module of each command, which alone is imported: the guard needs no cookiecutter."""


def main() -> int:
    """Run a command; return its exit status, 2 when there is none of that name."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        status: int = importlib.import_module(f"layercake.{COMMANDS[name]}").main(arguments)
        return status
    helped = name in ("-h", "--help")
    print(f"layercake {'|'.join(COMMANDS)} [--help]", file=sys.stdout if helped else sys.stderr)
    return 0 if helped else 2


if __name__ == "__main__":
    sys.exit(main())
