"""``weckd_edge`` has the public names, and loads each when it is first used."""

import json
import subprocess
import sys
from types import FunctionType

import pytest

import weckd_edge


def loaded_by(program: str) -> set[str]:
    """Return the top-level modules outside the standard library that a fresh process has loaded."""
    script = f"{program}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(json.loads(found.stdout.splitlines()[-1])) - set(sys.stdlib_module_names)


def test_importing_the_package_loads_no_library() -> None:
    loaded = loaded_by("import weckd_edge; weckd_edge.__version__; dir(weckd_edge)")
    assert "weckd_edge" in loaded
    assert not loaded & {"numpy", "torch", "click", "PIL", "rich", "openvino", "onnx"}


def test_the_errors_load_no_library_either() -> None:
    assert "numpy" not in loaded_by("import weckd_edge; weckd_edge.errors.WeckdError")


def test_a_library_is_loaded_once_a_name_needs_it() -> None:
    loaded = loaded_by("import weckd_edge; weckd_edge.load")
    assert "numpy" in loaded
    assert not loaded & {"torch", "click", "openvino", "onnxruntime", "jinja2"}


def test_every_public_name_is_listed_and_there() -> None:
    assert dir(weckd_edge) == sorted(weckd_edge.__all__)
    for name in weckd_edge.__all__:
        assert getattr(weckd_edge, name) is not None
    assert {name for name in weckd_edge.__all__ if isinstance(getattr(weckd_edge, name), FunctionType)} == {
        "build",
        "compile_model",
        "load",
    }


def test_errors_are_the_family_that_everything_raises() -> None:
    from weckd_edge.core.errors import BundleError, WeckdError

    assert weckd_edge.errors.WeckdError is WeckdError
    with pytest.raises(weckd_edge.errors.BundleError):
        weckd_edge.load("no such folder")
    assert weckd_edge.errors.BundleError is BundleError


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'weckd_edge' has no attribute 'no_such_name'"):
        weckd_edge.no_such_name  # type: ignore[attr-defined]  # noqa: B018 - that is the test
