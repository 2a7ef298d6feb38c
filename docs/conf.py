"""How the documentation is built: ``python -m tox run -e docs``."""

from __future__ import annotations

import sys
from pathlib import Path

import soloflight

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "soloflight"
author = "The soloflight developers"
copyright = author
release = soloflight.__version__
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "pages", "mermaid", "signatures"]
exclude_patterns = ["_build", "examples"]
nitpicky = False  # of what is not documented here, Python's own types say, links are text

# Pages
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline", "deflist"]

# The reference: docstrings mark names by single backticks, and say in words of what types they are.
default_role = "py:obj"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 80

# The looks
html_theme = "furo"
html_title = f"soloflight {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
