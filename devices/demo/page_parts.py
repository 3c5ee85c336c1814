"""The page as one document: its styles and scripts are files beside it, and are set in as it is loaded."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

_PARTS = re.compile(r'<link rel="stylesheet" href="([\w.]+)">|<script src="([\w.]+)"></script>')


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The page as it is sent.

    Attributes:
        html: The whole document, UTF-8.
        policy: Content security policy by which a browser runs the page's own scripts and styles, and nothing else.
    """

    html: bytes
    policy: str


def load_page() -> Page:
    """Return the page with its styles and scripts set in, and the policy that names them."""
    folder = files("weckd_edge.devices.demo") / "page"

    def part(found: re.Match[str]) -> str:
        tag, name = ("style", found[1]) if found[1] else ("script", found[2])
        return f"<{tag}>\n{(folder / name).read_text(encoding='utf-8')}</{tag}>"

    html = _PARTS.sub(part, (folder / "index.html").read_text(encoding="utf-8"))
    policy = (
        f"default-src 'none'; script-src {_hashes(html, 'script')}; style-src {_hashes(html, 'style')}; "
        "img-src data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return Page(html=html.encode(), policy=policy)


def _hashes(html: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies)
