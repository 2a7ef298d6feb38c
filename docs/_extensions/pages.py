"""What our pages need besides MyST: they are also read as they are, where nothing builds them.

- A page that lists others has no toctree. It is made of its lists: of each item that begins with a
  link to a page, under the heading that they stand below.
- A link that leaves the folder of the documentation (a test, the README) leads to a copy of the
  file. One to a folder is text. Where there is no such file, MyST warns.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

LISTING = ("index", "evidence")
"""The pages that list others."""
ITEM = re.compile(r"^- \[[^\]]+\]\(([\w./-]+)\.md\)", re.MULTILINE)


def toctrees(text: str) -> str:
    """The hidden toctrees of a page: its lists."""
    made = []
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        pages = ITEM.findall(section)
        if pages:
            heading = re.match(r"## (.+)", section)
            caption = f":caption: {heading[1]}\n" if heading else ""
            made.append("\n".join(["", "```{toctree}", f":hidden:\n{caption}", *pages, "```", ""]))
    return "".join(made)


def add_toctrees(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname in LISTING:
        source[0] += toctrees(source[0])


class LinksOutside(SphinxTransform):
    """Links to what is in the repository, and not a page."""

    default_priority = 5  # before Sphinx collects what is to be copied

    def apply(self, **kwargs: Any) -> None:
        folder = Path(self.env.srcdir)
        here = Path(self.env.doc2path(self.env.docname)).parent
        links = (addnodes.pending_xref, addnodes.download_reference)
        for node in list(self.document.findall(lambda n: isinstance(n, links))):
            if node.get("reftype") != "myst":
                continue
            target = node["reftarget"].partition("#")[0]
            if node.get("refdomain") == "doc":  # of another .md, as MyST has it: from the top
                found = (folder / f"{target}.md").resolve()
            else:
                found = (here / target).resolve()
            if target and found.is_dir():
                node.replace_self(node.children)
                continue
            if not target or found.is_relative_to(folder) or not found.exists():
                continue
            copy = addnodes.download_reference(
                reftarget="/" + Path(os.path.relpath(found, folder)).as_posix(),
                refdoc=self.env.docname,
                reftype="myst",
                refexplicit=True,
                refdomain=None,
            )
            copy += nodes.inline("", "", *node.children, classes=["xref", "download"])
            node.replace_self(copy)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", add_toctrees)
    app.add_transform(LinksOutside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
