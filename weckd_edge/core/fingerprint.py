"""Keys of steps: the code that made a result, and the versions of the libraries that this code imports.

A step names the modules that it calls; the modules that those import are found by ``weckd_edge.core.import_graph``. The key
holds a SHA-256 over the code of all of them, and the versions of the libraries among their imports. The code is hashed
without comments, docstrings and layout: rewording a sentence keeps the results of earlier runs, any other edit does not.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import platform
from dataclasses import dataclass

import weckd_edge
from weckd_edge.core.import_graph import depends_on, libraries_of, read_source
from weckd_edge.core.optional_imports import version_of

OUTSIDE_KEYS = "names results; what is in them does not depend on it"

LIBRARIES = {
    "torch": "torch",
    "timm": "timm",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ai-edge-litert": "ai_edge_litert",
    "tensorrt-rtx": "tensorrt_rtx",
    "numpy": "numpy",
    "pillow": "PIL",
}
"""Module of each library whose version a bundle records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Everything that a step's result depends on; ``key_of`` makes it.

    Attributes:
        inputs: Digests of the step's inputs, and its settings.
        code: SHA-256 of the code that the step runs, hexadecimal.
        libraries: Version of each installed library that this code imports, and of Python (major and minor).
    """

    inputs: object
    code: str
    libraries: dict[str, str]


def key_of(inputs: object, entry: str, *more: str) -> Key:
    """Return the key of a step.

    Args:
        inputs: Digests of the step's inputs, and its settings.
        entry: Name of the module of this package that the step calls; the modules that it imports are found.
        more: Names of further modules that the step calls.

    Raises:
        StoreError: A source is missing, as in an installation of compiled files alone, or cannot be read.
    """
    return Key(inputs=inputs, code=code_of(entry, *more), libraries=_library_versions((entry, *more)))


@functools.cache
def code_of(*entries: str) -> str:
    """Return the SHA-256 of the code of modules and of all modules that they depend on, hexadecimal.

    Raises:
        StoreError: A source is missing, as in an installation of compiled files alone, or cannot be read.
    """
    digest = hashlib.sha256()
    for module in depends_on(*entries):
        digest.update(f"{module}\0{_code(module)}\n".encode())
    return digest.hexdigest()


@functools.cache
def _code(module: str) -> str:
    text: list[str] = []
    _write(read_source(module).tree, text)
    return hashlib.sha256("".join(text).encode()).hexdigest()


def _write(node: object, text: list[str]) -> None:
    """Append a syntax tree as text: without positions, without strings that stand alone, alike on every Python."""
    if isinstance(node, ast.AST):
        text.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                text.append(f"{name}=")
                _write(value, text)
        text.append(")")
    elif isinstance(node, list):
        text.append("[")
        for item in node:
            if not _stands_alone(item):
                _write(item, text)
        text.append("]")
    else:
        text.append(f"{node!r},")


def _stands_alone(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@functools.cache
def _library_versions(entries: tuple[str, ...]) -> dict[str, str]:
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for library in libraries_of(depends_on(*entries)):
        installed = version_of(library)
        if installed is not None:
            found[library] = installed
    return found


def library_versions() -> dict[str, str]:
    """Return the versions of weckd-edge, Python and the installed libraries that a bundle's numbers depend on."""
    installed = {name: version_of(module) for name, module in LIBRARIES.items()}
    found = {"weckd-edge": weckd_edge.__version__, "python": platform.python_version()}
    return found | {name: number for name, number in installed.items() if number is not None}
