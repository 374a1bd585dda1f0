"""Links of the documentation: what they name is there, and below docs/, where the site finds it."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """Names of the headings of a page, as a Markdown site makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.is_file(), f"{page.name} links '{target}', which does not exist"
        assert linked.is_relative_to(DOCS), f"{page.name} links '{target}', outside of docs/"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{page.name} links '{target}#{anchor}'"
