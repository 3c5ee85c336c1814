"""Check that no page of the built site loads anything from another address: ``python docs/tools/check_site.py SITE``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
"""Elements that a browser fetches something for, and the attribute that names it."""
NO_LOAD = {"canonical", "next", "prev", "alternate"}
"""Values of a link's ``rel`` that fetch nothing."""
ELSEWHERE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//")


class Loads(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        address = named.get(LOADS.get(tag, "")) or ""
        if ELSEWHERE.match(address) and named.get("rel") not in NO_LOAD:
            self.found.append(f"<{tag}> {address}")


def loads_from_elsewhere(site: Path) -> Iterator[str]:
    """Yield what the pages and style sheets of a site load from another address, each with its file."""
    for page in sorted(site.rglob("*.html")):
        parser = Loads()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from (f"{page.relative_to(site)}: {found}" for found in parser.found)
        if 'class="mermaid"' in page.read_text(encoding="utf-8"):
            yield f"{page.relative_to(site)}: a Mermaid picture, whose script would be fetched"
    for sheet in sorted(site.rglob("*.css")):
        for address in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", sheet.read_text(encoding="utf-8")):
            if ELSEWHERE.match(address):
                yield f"{sheet.relative_to(site)}: {address}"


if __name__ == "__main__":
    wrong = list(loads_from_elsewhere(Path(sys.argv[1])))
    print("\n".join(wrong) or "no page loads anything from another address")  # noqa: T201
    sys.exit(bool(wrong))
