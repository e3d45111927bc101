"""README and docs: every link leads somewhere, and the pages are easy to read and to diff."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.docs_pages import TOP, anchors, links, pages, prose, table_rows

PAGES = pages()
OURS = [page for page in PAGES if page.name == "README.md" or TOP / "docs" in page.parents]
README = TOP / "README.md"
NAV = re.compile(r"[\w/-]+\.md")


def names(page: Path) -> str:
    return str(page.relative_to(TOP))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", OURS, ids=names)
def test_lines_have_100_columns_at_most(page: Path) -> None:
    lines = [line for line in prose(page).splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 100 and " " in line.strip()] == []


@pytest.mark.parametrize("page", OURS, ids=names)
def test_no_table_cell_is_longer_than_two_sentences(page: Path) -> None:
    cells = [cell for row in table_rows(prose(page)) for cell in row]
    assert [cell for cell in cells if len(re.findall(r"[.?!](?= [A-Z`]|$)", cell)) > 2] == []


def test_the_readme_is_an_invitation() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 900


def test_the_site_has_every_page_in_its_navigation() -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("", lambda loader, suffix, node: None)
    listed = set(NAV.findall(str(yaml.load((TOP / "mkdocs.yml").read_text(), Loader)["nav"])))
    docs = {str(page.relative_to(TOP / "docs")) for page in (TOP / "docs").rglob("*.md")}
    assert {name for name in listed if not name.startswith("project/")} == docs
