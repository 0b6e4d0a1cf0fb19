"""The pages for people: links lead somewhere, and the architecture page has the rows that the law has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sartor.part import SHELVES, names
from test_import_law import ROWS, modules

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    inside = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in inside if not (page.parent / link).exists()] == []


def test_the_architecture_page_has_the_rows_of_the_law() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    table = page.partition("## Rows")[2].partition("\n## ")[0]
    rows = [
        " ".join(re.findall(r"`(\w+)`", line.split("|")[1])) for line in table.splitlines() if line.startswith("| `")
    ]
    assert tuple(rows) == ROWS


def test_the_law_has_a_row_for_every_module() -> None:
    members = {name.split(".")[1] for name in modules() if name != "sartor"}
    assert members <= set(" ".join(ROWS).split())


def test_the_changelog_names_every_part() -> None:
    page = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [name for shelf in SHELVES for name in names(shelf) if f"`{name}`" not in page] == []
