"""What the reference needs besides autodoc.

Signatures as a reader wants them: without what is there for type checkers and for messages. And
docstrings with ``Args:`` and ``Raises:``; those of attributes have none, but may have a colon,
which Sphinx's own extension for this would take for the end of a type.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

import soloflight

NOBODY_CALLS = {
    "AsyncHold",
    "BoundCachedFunction",
    "BoundFunction",
    "CachedFunction",
    "Codec",
    "Function",
    "Hold",
    "Registered",
    "Stampede",
    "Stats",
}


def tidy(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str
) -> tuple[str | None, str] | None:
    if signature is None:
        return None
    if what == "class" and name.rpartition(".")[2] in NOBODY_CALLS:
        return "", ""
    # What takes the wrong ways to call a decorator, to say so.
    signature = signature.replace("*misplaced, ", "*, ").replace(", **unknown", "")
    signature = signature.replace("(loader=None, /, *, ", "(*, ")
    signature = signature.replace("(self, /, ", "(").replace("(/, ", "(")
    signature = re.sub(r"=UNSET\b", "=...", signature)
    return re.sub(r"=([A-Z]+)\b", lambda given: _number(obj, given), signature), returned


def _number(obj: Any, given: re.Match[str]) -> str:
    """A default as a number where it is one, and not the name of a constant of ours."""
    default = getattr(inspect.unwrap(obj), "__globals__", {}).get(given[1])
    return f"={default}" if isinstance(default, (int, float)) else given[0]


def sections(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what not in ("attribute", "property"):
        lines[:] = GoogleDocstring(lines, Config(), app, what, name, obj, options).lines()


def read_where_it_is(app: Sphinx) -> None:
    """Public things say that they are of the root, where Sphinx finds nothing of their source.

    So it is told what is said below their attributes, and in which order they stand.
    """
    root = ModuleAnalyzer.for_module("soloflight")
    root.analyze()
    for name in [name for name in sys.modules if name.startswith("soloflight.")]:
        room = ModuleAnalyzer.for_module(name)
        room.analyze()
        for (owner, attribute), lines in room.attr_docs.items():
            if owner in soloflight.__all__:
                root.attr_docs[owner, attribute] = lines
        for path, place in room.tagorder.items():
            if path.partition(".")[0] in soloflight.__all__:
                root.tagorder[path] = place


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", read_where_it_is)
    app.connect("autodoc-process-signature", tidy)
    app.connect("autodoc-process-docstring", sections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
