"""Read a page as a browser would, independently of what wrote it, and hold it to the rules for all pages."""

import base64
import hashlib
import itertools
import re
import unicodedata
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "rect", "line"}  # the SVG ones end themselves
WORD = re.compile(r"[\w-]+")
TAGS = {
    *WORD.findall(
        "html head meta title style body header main footer section h1 h2 h3 h4 p ul li strong code"
    ),
    *WORD.findall("pre table caption thead tbody tr th td span bdi a div details summary br wbr"),
    *WORD.findall("figure svg rect text line path g use defs"),
}
ATTRIBUTES = {
    *WORD.findall("lang charset http-equiv content name class id scope href tabindex role"),
    *WORD.findall("aria-label aria-labelledby aria-hidden viewbox x y x1 x2 y1 y2 width height text-anchor"),
    *WORD.findall("d transform stroke-width stroke-dasharray stroke-linejoin stroke-linecap fill"),
}
TURNING = set(map(chr, [0x200E, 0x200F, 0x61C, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]))


class Page(HTMLParser):
    """tags: (name, attributes); words: all text outside the style sheet; rows: the cells of table rows."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words = ""
        self.style = ""
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []  # (the innermost tag, text)
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            self.style += data
            return
        self.words += data
        self.texts.append((self.open[-1] if self.open else "", data))
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def handle_comment(self, data):
        raise AssertionError("a comment")

    def of(self, tag: str) -> list[str]:
        """The texts directly in a kind of element."""
        return [text for inside, text in self.texts if inside == tag]

    def row(self, begins: str) -> list[str]:
        return next([" ".join(cell.split()) for cell in row] for row in self.rows if row[0] == begins)

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(html: str) -> Page:
    """A page, after all rules for pages are found kept."""
    html.encode()
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>") and not page.open
    for tag, attributes in page.tags:
        assert tag in TAGS, tag
        assert attributes.keys() <= ATTRIBUTES, attributes
        assert attributes.get("href", "#").startswith("#")
    policy = next(a["content"] for a in page.attributes("meta") if "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ") and f"style-src 'sha256-{digest}';" in policy
    assert not any(word in page.style for word in ("url(", "@import", "expression", "http"))
    seen = page.words + "".join(value or "" for _, attributes in page.tags for value in attributes.values())
    odd = {c for c in seen if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
    assert not odd and not set(seen) & TURNING
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - before <= 1 for before, later in itertools.pairwise(levels))
    assert all(a.get("scope") in ("row", "col") for a in page.attributes("th"))
    assert all(a.get("aria-hidden") == "true" or a.get("role") == "img" for a in page.attributes("svg"))
    return page
