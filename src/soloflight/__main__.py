"""The command line, `soloflight` or `python -m soloflight`: so far the demo alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .demo import _cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Needs the extra `[demo]` for running the demo alone."""
    parser = _cli.Parser(
        prog="soloflight",
        description="Caching decorators with stampede protection.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser(
        "demo",
        help="show on this machine what a cache stampede is, and what is left of it",
        description="Schemes read one hot key that keeps expiring; tables and a picture.",
    )
    _cli.add_options(demo)
    return _cli.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
