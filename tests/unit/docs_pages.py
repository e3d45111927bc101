"""The project's Markdown files, their headings' anchors and their links. For the docs tests."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

TOP = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^([ ]*)(```|~~~).*?^\1\2\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def pages() -> list[Path]:
    """Every Markdown file that people read: the top directory's, docs/ and examples/."""
    return sorted([*TOP.glob("*.md"), *TOP.glob("docs/**/*.md"), *TOP.glob("examples/**/*.md")])


def prose(page: Path) -> str:
    """Return a page without fenced code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def code_blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced blocks of the given languages, without their indentation."""
    found = re.findall(
        r"^([ ]*)```(\w+)[^\n]*\n(.*?)^\1```", page.read_text(), re.MULTILINE | re.DOTALL
    )
    return [
        "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        for indent, language, body in found
        if language in languages
    ]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links that lead to files or anchors of the project."""
    outside = re.sub(r"(`+).+?\1", "", prose(page))
    return [t for t in LINK.findall(outside) if not re.match(r"[a-z]+:", t)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as both MkDocs and code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", hooks().generated(prose(page)), re.MULTILINE)
    return {slug(heading) for heading in headings}


def hooks() -> ModuleType:
    """Return docs/hooks.py, which MkDocs loads by its path."""
    spec = importlib.util.spec_from_file_location("docs_hooks", TOP / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slug(heading: str) -> str:
    text = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def table_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of each row of every table."""
    for line in text.splitlines():
        if line.startswith("| ") and not re.fullmatch(r"[| -]+", line):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
