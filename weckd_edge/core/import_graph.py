"""The import graph of this package, read from its sources: no module is imported to find it.

There are two relations. A module *depends on* the modules that define the names it imports: a package whose ``__init__``
only passes names on does not count, and neither does a module that assigns ``OUTSIDE_KEYS``. A module *needs to run* every
file that Python reads to import it: packages on the way, with all that their ``__init__`` imports.

An import counts wherever it stands, also inside a function, except under ``if TYPE_CHECKING:``. A string that names a module
counts too, such as in a table of backends or in the program of a child process; docstrings do not.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.core.errors import StoreError

ROOT = "weckd_edge"

MARK = "OUTSIDE_KEYS"
"""Name that a module assigns a reason to if it changes no result: no fingerprint counts it or its imports."""

_NAME = re.compile(rf"\b{ROOT}(?:\.\w+)+")

OUTSIDE_KEYS = "finds what other modules import"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One module's source, and what it imports.

    Attributes:
        name: Dotted name of the module.
        path: File of the module.
        is_package: Whether the file is an ``__init__.py``.
        tree: Syntax tree of the module.
        imports: Imported modules, each with the name taken by ``from ... import`` or None, in the order of the file.
        named: Modules of this package that strings in its code name.
        is_outside: Whether the module assigns ``OUTSIDE_KEYS``.
    """

    name: str
    path: Path
    is_package: bool
    tree: ast.Module
    imports: tuple[tuple[str, str | None], ...]
    named: frozenset[str]
    is_outside: bool


@functools.cache
def find_source(module: str) -> Path | None:
    """Return the file of a module of this package; None where there is no such module."""
    if module != ROOT and not module.startswith(f"{ROOT}."):
        return None
    folder = _folder(module)
    if folder is not None and (folder / "__init__.py").is_file():
        return folder / "__init__.py"
    parent, _, name = module.rpartition(".")
    above = _folder(parent) if parent else None
    file = above / f"{name}.py" if above is not None else None
    return file if file is not None and file.is_file() else None


@functools.cache
def _folder(package: str) -> Path | None:
    """Return a package's folder; None where there is no such package."""
    if package == ROOT:
        return Path(__file__).parent.parent
    parent, _, name = package.rpartition(".")
    above = _folder(parent)
    if above is None:
        return None
    if (above / name).is_dir():
        return above / name
    if parent == ROOT:  # an editable install may hold a package of the first level elsewhere
        found = importlib.util.find_spec(package)
        if found is not None and found.submodule_search_locations:
            return Path(next(iter(found.submodule_search_locations)))
    return None


@functools.cache
def read_source(module: str) -> Source:
    """Read the source of a module of this package.

    Raises:
        StoreError: The source is missing, or is not Python of this version.
    """
    path = find_source(module)
    if path is None:
        raise StoreError(
            f"{module}: expected its source file, found none; what a step's result depends on is read from the sources, so "
            "install this package with them (its wheel holds them)",
            code="E_STORE_INSTALLATION",
        )
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (OSError, SyntaxError, ValueError) as err:
        raise StoreError(
            f"{path}: expected a readable Python source ({err}); install this package anew", code="E_STORE_INSTALLATION"
        ) from err
    runs: list[ast.AST] = []
    _add_what_runs(tree, runs)
    return Source(
        name=module,
        path=path,
        is_package=path.name == "__init__.py",
        tree=tree,
        imports=tuple(found for node in runs for found in _imports(node)),
        named=frozenset(found for node in runs for found in _named(node)),
        is_outside=any(_assigns_mark(node) for node in tree.body),
    )


def _add_what_runs(node: ast.AST, found: list[ast.AST]) -> None:
    """Append every node below a node, without docstrings and without blocks that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                found.append(other)
                _add_what_runs(other, found)
            continue
        found.append(child)
        _add_what_runs(child, found)


def module_names() -> tuple[str, ...]:
    """Return the name of every module of this package, sorted."""
    found = [ROOT]
    for package in found:  # grows meanwhile
        folder = _folder(package)
        for path in sorted(folder.iterdir()) if folder is not None else ():
            name = f"{package}.{path.stem}"
            if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__"):
                found.append(name)
    return tuple(sorted(found))


def _imports(node: ast.AST) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield from ((node.module, alias.name) for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("require", "import_module") and isinstance(node.args[0].value, str):
            yield node.args[0].value, None


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        for name in _NAME.findall(node.value):
            while "." in name and find_source(name) is None:
                name = name.rpartition(".")[0]
            if "." in name:
                yield name


def _assigns_mark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == MARK for to in node.targets)


def depends_on(*entries: str) -> tuple[str, ...]:
    """Return the modules whose code the results of some modules depend on, including the modules themselves, sorted.

    Raises:
        StoreError: A source is missing or cannot be read.
    """
    found = _reach(entries, _defining_modules)
    return tuple(name for name in found if not read_source(name).is_outside)


def needs_to_run(*entries: str) -> tuple[str, ...]:
    """Return the modules whose files Python reads to run some modules, including the modules themselves, sorted.

    Raises:
        StoreError: A source is missing or cannot be read.
    """
    return _reach(entries, _imported_files)


def libraries_of(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the top-level modules of other distributions that some modules of this package import, sorted."""
    tops = {name.partition(".")[0] for module in modules for name, _ in read_source(module).imports}
    return tuple(sorted(tops - sys.stdlib_module_names - {ROOT}))


def _reach(entries: tuple[str, ...], step: Callable[[Source], Iterator[str]]) -> tuple[str, ...]:
    seen: set[str] = set()
    waiting = list(entries)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += step(read_source(module))
    return tuple(sorted(seen))


def _defining_modules(source: Source) -> Iterator[str]:
    if source.is_outside:
        return
    yield from source.named
    for module, name in source.imports:
        found = _defining_module(module, name)
        if found is not None:
            yield found


def _defining_module(module: str, name: str | None) -> str | None:
    """Return the module that defines an imported name; None where it is outside this package."""
    if name is not None and find_source(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    if find_source(module) is None:
        return None
    source = read_source(module)
    if source.is_package and name is not None:
        for node in source.tree.body:  # passed on by the package: whoever defines it counts, the package does not
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _defining_module(node.module, alias.name)
    return module


def _imported_files(source: Source) -> Iterator[str]:
    yield from _with_parents(source.name)
    for module in source.named:
        yield from _with_parents(module)
    for module, name in source.imports:
        if name is not None and find_source(f"{module}.{name}") is not None:
            yield from _with_parents(f"{module}.{name}")
        elif find_source(module) is not None:
            yield from _with_parents(module)


def _with_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))
