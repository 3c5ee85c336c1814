"""What a result depends on beside its inputs: the code that made it, and the versions of what that code imports.

A step names the modules that it calls. Everything else is found: the modules that those import
(``weckd_edge.core.import_graph``), a SHA-256 over their code, and the libraries among their imports. The code is hashed
without comments, docstrings and layout, so that a reworded sentence makes nothing anew; any other edit does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import weckd_edge
from weckd_edge.core.import_graph import depends_on, libraries_of, read_source

OUTSIDE_KEYS = "names results; what is in them does not depend on it"

LIBRARIES = ("torch", "timm", "onnx", "onnxruntime", "openvino", "tensorrt-rtx", "numpy", "pillow")
"""Distributions whose versions a bundle records."""

DISTRIBUTION_OF = {
    "PIL": "pillow",
    "cyclonedx": "cyclonedx-python-lib",
    "google": "protobuf",
    "mlflow": "mlflow-skinny",
    "mlperf_loadgen": "mlcommons-loadgen",
    "packageurl": "packageurl-python",
    "pynvml": "nvidia-ml-py",
}
"""Distributions that are not called like the module they bring."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Everything that a step's result depends on; made by ``key_of``.

    Attributes:
        inputs: Digests of its inputs, and its settings.
        code: SHA-256 of the code that it runs, hexadecimal.
        libraries: Version of each installed library that this code imports, and of Python without its last number.
    """

    inputs: object
    code: str
    libraries: dict[str, str]


def key_of(inputs: object, entry: str, *more: str) -> Key:
    """Return the key of a step.

    Args:
        inputs: Digests of its inputs, and its settings.
        entry: Name of the module of this package that it calls; what that imports is found.
        more: Further ones.

    Raises:
        StoreError: See ``code_of``.
    """
    return Key(inputs=inputs, code=code_of(entry, *more), libraries=_library_versions((entry, *more)))


@functools.cache
def code_of(*entries: str) -> str:
    """Return the SHA-256 of the code of modules and of all that they depend on, hexadecimal; read once in a process.

    Raises:
        StoreError: A source is missing, as in an installation of compiled files alone, or cannot be read.
    """
    digest = hashlib.sha256()
    for module in depends_on(*entries):
        digest.update(f"{module}\0{_code(module)}\n".encode())
    return digest.hexdigest()


@functools.cache
def _code(module: str) -> str:
    return hashlib.sha256("".join(_written(read_source(module).tree)).encode()).hexdigest()


def _written(node: object) -> Iterator[str]:
    """Yield a syntax tree as text: without positions, without strings that stand alone, alike on every Python."""
    if isinstance(node, ast.AST):
        yield f"{type(node).__name__}("
        for name, value in ast.iter_fields(node):
            if value is not None and value != []:
                yield f"{name}="
                yield from _written(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            if not _stands_alone(item):
                yield from _written(item)
        yield "]"
    else:
        yield f"{node!r},"


def _stands_alone(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@functools.cache
def _library_versions(entries: tuple[str, ...]) -> dict[str, str]:
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for library in libraries_of(depends_on(*entries)):
        installed = _version(DISTRIBUTION_OF.get(library, library))
        if installed is not None:
            found[library] = installed
    return found


def library_versions() -> dict[str, str]:
    """Return the versions of this software and of the libraries that a bundle's numbers depend on, where installed."""
    installed = {name: _version(name) for name in LIBRARIES}
    found = {"weckd-edge": weckd_edge.__version__, "python": platform.python_version()}
    return found | {name: number for name, number in installed.items() if number is not None}


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
