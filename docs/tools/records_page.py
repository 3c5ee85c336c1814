"""The page of the records that a bundle's evidence holds, from the dataclasses of ``weckd_edge.artifacts``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import is_dataclass

from described import as_markdown, summary_of, table_of

from weckd_edge import artifacts

HEAD = """# Records in a bundle

The JSON files of a bundle's `evidence/` and its `manifest.json` hold these records, and so does `--json`. Every record is
a frozen dataclass of `weckd_edge.artifacts`; its fields are the keys of the JSON object. Paths are relative to the bundle.

This page is generated from `weckd_edge/artifacts/`. What a reader of `manifest.json` must check is on
[its own page](bundle-format.md).
"""


def records() -> dict[str, list[type]]:
    """Return the dataclasses of each module of ``weckd_edge.artifacts``, in the order of their definition."""
    found = {}
    for info in pkgutil.iter_modules(artifacts.__path__):
        module = importlib.import_module(f"{artifacts.__name__}.{info.name}")
        own = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
        found[info.name] = [one for one in own if is_dataclass(one)]
    listed = {one for classes in found.values() for one in classes}
    rest = [one for one in vars(artifacts).values() if inspect.isclass(one) and is_dataclass(one) and one not in listed]
    for cls in rest:
        found.setdefault(cls.__module__.rpartition(".")[2], []).append(cls)
    return {name: classes for name, classes in found.items() if classes}


def records_page() -> str:
    """Return the page, Markdown."""
    lines = [HEAD]
    links = {cls: f"#{cls.__name__.lower()}" for classes in records().values() for cls in classes}
    for name, classes in records().items():
        module = importlib.import_module(classes[0].__module__)
        about = as_markdown((module.__doc__ or "").partition("\n\n")[0])
        lines += [f"## {name.replace('_', ' ').capitalize()}", "", about, ""]
        for cls in classes:
            lines += [f"### {cls.__name__}", "", summary_of(cls), "", *table_of(cls, links), ""]
    return "\n".join(lines) + "\n"
