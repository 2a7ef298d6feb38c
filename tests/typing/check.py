"""Runs the type checkers on `surface.py`: each must refuse the lines that say so, and no others.

python tests/typing/check.py [checker ...]
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
SURFACE = HERE / "surface.py"
SCRIPTS = Path(sysconfig.get_path("scripts"))

COMMANDS = {
    "mypy": ["--no-pretty", "--no-error-summary", "--no-incremental"],
    "pyright": [],
    "basedpyright": [],
    "ty": ["check", "--output-format=concise", "--python", sys.executable],
    "pyrefly": ["check", "--output-format=min-text", f"--python-interpreter-path={sys.executable}"],
}


def expected(checker: str) -> set[int]:
    """The lines that `checker` must refuse."""
    lines: set[int] = set()
    for number, line in enumerate(SURFACE.read_text(encoding="utf-8").splitlines(), 1):
        found = re.search(r"  # error(?:: (.+))?$", line)
        if found and (found[1] is None or checker in found[1].split(", ")):
            lines.add(number)
    return lines


def found(checker: str) -> dict[int, str]:
    """The lines that it refuses, and what it says of them."""
    command = [str(SCRIPTS / checker), *COMMANDS[checker], str(SURFACE)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent.parent)
    said: dict[int, str] = {}
    for line in run.stdout.splitlines():
        place = re.search(r"surface\.py:(\d+)\b.*", line)
        if place and re.search(r"\berror\b|\bwarning\b", line, re.IGNORECASE):
            said[int(place[1])] = line.strip()
    if not said:
        sys.exit(f"{checker} found nothing at all:\n{run.stdout}{run.stderr}")
    return said


def main() -> None:
    wrong = 0
    for checker in sys.argv[1:] or COMMANDS:
        right, said = expected(checker), found(checker)
        for number in sorted(right ^ said.keys()):
            wrong += 1
            print(f"{checker}: {said.get(number) or f'surface.py:{number}: accepted'}")
        print(f"{checker}: {len(right)} wrong lines, {len(right & said.keys())} of them refused")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
