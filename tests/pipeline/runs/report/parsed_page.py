"""A report's page, parsed."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input"}


@dataclass
class Element:
    """An element with its texts and child elements in order."""

    tag: str
    attributes: dict[str, str | None]
    children: "list[Element | str]" = field(default_factory=list)

    @property
    def elements(self) -> "list[Element]":
        return [child for child in self.children if isinstance(child, Element)]

    @property
    def text(self) -> str:
        parts = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join(" ".join(parts).split())

    def walk(self) -> "Iterator[Element]":
        """This element and all below it, in the order of the page."""
        yield self
        for child in self.elements:
            yield from child.walk()

    def find(self, *tags: str) -> "list[Element]":
        return [element for element in self.walk() if element.tag in tags]


class Page(HTMLParser):
    """The elements and texts of a well-formed page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"never closed: {[element.tag for element in self._open]}"

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice: {attrs}"
        element = self._add(tag, attrs)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self._add(tag, attrs)

    def handle_endtag(self, tag):
        assert self._open.pop().tag == tag, tag

    def handle_data(self, data):
        self.texts.append(data)
        self._open[-1].children.append(data)

    def _add(self, tag, attrs) -> Element:
        self.tags.append((tag, dict(attrs)))
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        return element

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def count(self, tag: str, class_: str = "") -> int:
        return sum(
            name == tag and class_ in (attributes.get("class") or "").split(" ")
            if class_
            else name == tag
            for name, attributes in self.tags
        )
