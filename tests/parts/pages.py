"""What tests of pages share: their examples, their links, the headings that these lead to."""

from __future__ import annotations

import re
from pathlib import Path

from soloflight._tiers.kinds import AnyTier

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^( *)(`{3,}|~{3,})([^\n]*)\n(.*?)^\1\2`*$", re.DOTALL | re.MULTILINE)


def run_examples(page: Path, **changes: str) -> int:
    """Run the examples of a page, one after the other; how many there are."""
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert len(blocks) == text.count("```python"), "one is indented, or does not end"
    for block in blocks:
        source = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        for written, here in changes.items():
            source = source.replace(written, here)
        exec(compile(source, str(page), "exec", dont_inherit=True), namespace)
    for thing in namespace.values():
        if isinstance(thing, AnyTier):
            thing.close()
    return len(blocks)


def pages() -> list[Path]:
    """Those of the documentation."""
    return sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


def prose(page: Path) -> str:
    """What a page says outside of its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """The links of a page, and its pictures, that do not leave the repository."""
    text = re.sub(r"`[^`\n]+`(?!\])", "", prose(page))
    found = re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", text)
    found += re.findall(r'(?:href|src)="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """What links may name after a `#`: headings as GitHub and MyST have them, and anchors."""
    text = prose(page)
    found = set(re.findall(r'<a id="([^"]+)"', text))
    found |= set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))
    for heading in re.findall(r"^#{1,4} (.+?)\s*$", text, re.MULTILINE):
        said = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", said.lower()).replace(" ", "-")
        same = (f"{slug}-{n}" if n else slug for n in range(len(found) + 1))
        found.add(next(one for one in same if one not in found))
    return found


def included(page: Path) -> list[str]:
    """The files that a page shows."""
    shown = r"(?m)^`{3,}\{literalinclude\} (\S+)$"
    return re.findall(shown, page.read_text(encoding="utf-8"))
