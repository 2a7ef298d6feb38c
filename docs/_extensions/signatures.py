"""Signatures as a reader wants them: without what is there for type checkers and for messages."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

MADE_BY_DECORATORS = {"CachedFunction", "Function", "BoundCachedFunction", "BoundFunction"}
"""Nobody calls these classes."""


def tidy(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str
) -> tuple[str | None, str] | None:
    if signature is None:
        return None
    if what == "class" and name.rpartition(".")[2] in MADE_BY_DECORATORS:
        return "", ""
    # What takes the wrong ways to call a decorator, to say so.
    signature = signature.replace("*misplaced, ", "*, ").replace(", **unknown", "")
    signature = signature.replace("(self, /, ", "(").replace("(/, ", "(")
    signature = re.sub(r"=UNSET\b", "=...", signature)
    return signature, returned


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-signature", tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
