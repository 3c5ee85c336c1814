"""The page of the C API, from the one header of the library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HEADER = Path(__file__).resolve().parents[2] / "devices/firmware/include/weckd_edge.h"
HEAD = """# C API

How the library is built and used: [Embed in firmware](../how-to/firmware.md). This page is generated from
`devices/firmware/include/weckd_edge.h`.

"""
SECTIONS = {"enum": "Enumerations", "struct": "Structures", "function": "Functions", "constant": "Constants"}
COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
DECLARATION = re.compile(
    r"(?P<comment>(?:/\*(?:[^*]|\*(?!/))*\*/\n)?)"
    r"(?P<code>typedef (?P<kind>enum|struct) (?P<name>\w+)(?: \{(?P<body>.*?)\n\} \w+|[^{;]*);"
    r"|WECKD_EXPORT (?P<function>[^;{]*?);|#define (?P<constant>WECKD_[A-Z_]+) +(?P<value>[^/\n]+))"
    r"(?P<after>[ ]*/\*(?:[^*]|\*(?!/))*\*/)?",
    re.DOTALL,
)
MEMBER = re.compile(r"^ {4}(?P<code>[^/\n]+?)[,;]?\s*(?:/\*(?P<text>.*?)\*/)?\s*$", re.DOTALL | re.MULTILINE)


class Declaration(NamedTuple):
    """One thing that the header declares.

    Attributes:
        kind: ``enum``, ``struct``, ``function`` or ``constant``.
        name: Its name.
        code: As the header has it, without comments.
        text: Its comment.
        members: Values of an enum, fields of a struct, each with its comment.
    """

    kind: str
    name: str
    code: str
    text: str
    members: tuple[tuple[str, str], ...] = ()


def plain(comment: str | None) -> str:
    """Return a comment's text on one line."""
    inside = COMMENT.search(comment or "")
    return " ".join(re.sub(r"^\s*\*", "", inside[1] if inside else comment or "", flags=re.MULTILINE).split())


def declarations(header: str) -> Iterator[Declaration]:
    """Yield what a header declares, in its order."""
    for found in DECLARATION.finditer(header):
        text = " ".join(filter(None, (plain(found["comment"]), plain(found["after"]))))
        if found["constant"]:
            if found["constant"] != "WECKD_EXPORT":
                yield Declaration("constant", found["constant"], found["value"].strip(), text)
        elif found["function"]:
            code = " ".join(found["function"].split())
            yield Declaration("function", re.findall(r"(\w+)\(", code)[0], code + ";", text)
        else:
            members = tuple((one["code"].strip(), plain(one["text"])) for one in MEMBER.finditer(found["body"] or ""))
            yield Declaration(found["kind"], found["name"], "", text, members)


def overview(header: str) -> str:
    """Return the header's first comment as paragraphs."""
    first = COMMENT.search(header)
    lines = re.sub(r"^ \* ?", "", first[1] if first else "", flags=re.MULTILINE).strip()
    return "\n\n".join(" ".join(part.split()) for part in lines.split("\n\n") if not part.startswith("SPDX"))


def c_api_page() -> str:
    """Return the page, Markdown."""
    header = HEADER.read_text(encoding="utf-8")
    found = list(declarations(header))
    lines = [HEAD + overview(header)]
    for kind, title in SECTIONS.items():
        lines += ["", f"## {title}"]
        if kind == "constant":
            lines += ["", "| name | value | meaning |", "|---|---|---|"]
            lines += [f"| `{one.name}` | `{one.code}` | {one.text} |" for one in found if one.kind == kind]
            continue
        for one in (one for one in found if one.kind == kind):
            lines += ["", f"### `{one.name}` {{ #{one.name} }}", ""]
            lines += ["```c", one.code, "```", ""] if one.code else []
            lines += [one.text] if one.text else []
            if one.members:
                lines += ["", "| value | meaning |" if kind == "enum" else "| field | meaning |", "|---|---|"]
                lines += [f"| `{code}` | {text} |" for code, text in one.members]
    return "\n".join(lines) + "\n"
