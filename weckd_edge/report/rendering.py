"""Rendering of templates: HTML escaped, numbers as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from weckd_edge.core.optional_imports import require
from weckd_edge.core.words import plural
from weckd_edge.report import numbers
from weckd_edge.report.chapters import parity, verdicts


def render(template: str, context: Mapping[str, Any]) -> str:
    """Render one of this package's templates; HTML is escaped.

    Raises:
        MissingDependency: The extra ``report`` is not installed.
    """
    jinja2 = require("jinja2", "write a report")
    folder = files("weckd_edge.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=numbers.percent,
        interval=numbers.interval,
        milliseconds=numbers.milliseconds,
        seconds=numbers.seconds,
        count=numbers.format_count,
        size=numbers.size,
        significant=numbers.significant,
        difference=numbers.format_difference,
        points=numbers.points,
        breakable=_breakable,
        cell=_cell,
        accuracy=verdicts.accuracy_text,
        p_value=parity.p_value,
        decibel=parity.decibel,
    )
    environment.globals["plural"] = plural
    filled: str = environment.get_template(template).render(**context)
    return filled


def safe(svg: str) -> Any:
    """Mark a chart as HTML that is not escaped again."""
    return require("markupsafe", "write a report").Markup(svg)


def _breakable(name: str) -> Any:
    """Let a long name wrap after its underscores, hyphens, slashes and dots, and nowhere else."""
    markupsafe = require("markupsafe", "write a report")
    return markupsafe.Markup(re.sub(r"([_/-]+|\.(?!\d))", r"\1<wbr>", str(markupsafe.escape(name))))


def _cell(text: str) -> str:
    """Make a name safe in Markdown: no pipes, backticks, brackets or line breaks that mean something there."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", " ".join(str(text).split()))
