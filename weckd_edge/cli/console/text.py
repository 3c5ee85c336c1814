"""Text that is safe to show: names of files come from anywhere."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return text with every character that would break the line or command the terminal written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
