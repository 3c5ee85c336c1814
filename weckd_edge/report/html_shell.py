"""HTML around every page: head, styles, table of contents, scripts. It needs no templates, as devices write pages too.

A page may run the scripts and use the styles whose digests its own policy names, and nothing else; it may fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

_FOLDER = "templates/report"


def document(
    title: str,
    body: str,
    *,
    contents: Sequence[tuple[str, str]] = (),
    scripts: Sequence[str] = (),
    data: Any = None,
    kind: str = "",
) -> str:
    """Return a whole page that needs no network and no other file.

    Args:
        title: Title of the window.
        body: HTML of the sections.
        contents: Identifier and name of every section, in order; empty for a page without a table of contents.
        scripts: Names of files under ``templates/report/`` that run when the page is there.
        data: Data that the scripts read as JSON from the element ``predictions``; None: no data.
        kind: CSS class of the main part.
    """
    style, first = asset("style.css"), asset("theme.js")
    code = [asset(name) for name in scripts]
    allowed = " ".join(digest(text) for text in (first, *code))
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src {digest(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="referrer" content="no-referrer">\n<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n<script>{first}</script>\n</head>\n<body>",
        '<a class="skip" href="#main">Skip to the report</a>',
        f'<div class="layout{"" if contents else " alone"}">',
        _side(contents),
        f'<main id="main" tabindex="-1"{f" class={json.dumps(kind)}" if kind else ""}>\n{body}\n</main>\n</div>',
    ]
    if data is not None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        parts.append(f'<script type="application/json" id="predictions">{text}</script>')
    parts += [f"<script>{text}</script>" for text in code]
    return "\n".join((*parts, "</body>\n</html>\n"))


def asset(name: str) -> str:
    """Return a style sheet or a script of this package."""
    return (files("weckd_edge.report") / _FOLDER / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """Return an inline text's digest as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _side(contents: Sequence[tuple[str, str]]) -> str:
    button = '<button type="button" id="theme" class="theme" hidden>Dark colours</button>'
    if not contents:
        return f'<div class="side">{button}</div>'
    links = "".join(f'<li><a href="#{escape(name)}">{escape(text)}</a></li>' for name, text in contents)
    return f'<div class="side">{button}<nav aria-label="Contents"><ol>{links}</ol></nav></div>'
