"""Reads a page the way a browser would, as far as the tests need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "img", "link", "path", "rect", "circle"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        """Every descendant called `tag`."""
        own = [c for c in self.children if c.tag == tag]
        return own + [e for c in self.children for e in c.all(tag) if c is not e]

    def every(self) -> list[Element]:
        return [self] + [e for c in self.children for e in c.every()]

    def words(self) -> str:
        """All text below, in the order of reading."""
        return "".join(c.text if c.tag == "#text" else c.words() for c in self.children)

    def with_class(self, name: str) -> list[Element]:
        return [e for e in self.every() if name in e.attributes.get("class", "").split()]


class Reader(HTMLParser):
    """Builds the tree and refuses what is not closed in order."""

    def __init__(self) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)
        self.root = Element("root", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {k: v or "" for k, v in attrs})
        self.open[-1].children.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data
        self.open[-1].children.append(Element("#text", {}, data))


def read(page: str) -> Element:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1, f"not closed: {[e.tag for e in reader.open[1:]]}"
    return reader.root
