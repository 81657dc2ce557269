"""The command `layercake`, which a service calls at the release that it was made from: `layercake cache-check`."""

import sys

from layercake import cache_check

COMMANDS = {"cache-check": cache_check.main}


def main() -> int:
    """Run a command; return its exit status, 2 when there is none of that name."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        return COMMANDS[name](arguments)
    helped = name in ("-h", "--help")
    print(f"layercake {'|'.join(COMMANDS)} [--help]", file=sys.stdout if helped else sys.stderr)
    return 0 if helped else 2


if __name__ == "__main__":
    sys.exit(main())
