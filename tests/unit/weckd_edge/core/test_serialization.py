"""Reading back what was written, and refusing anything else."""

from __future__ import annotations

import importlib
import json
import pkgutil
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.errors import raises
from weckd_edge import artifacts
from weckd_edge.artifacts import FileRef, Rate
from weckd_edge.config import BuildConfig, LinkConfig
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.core.serialization import from_data, from_json, to_data, to_json


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: tuple[int, int]
    mode: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    ratio: float
    inner: tuple[Inner, ...] = ()
    note: str | None = None


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(value=NESTED)
def test_json_is_written_as_the_json_module_writes_it(value: object) -> None:
    record = Outer(name="a", ratio=1e-7, inner=(Inner(size=(1, 2)),))
    for whole in (value, record, {"b": record, "a": value}, FileRef(path="é\u2028", sha256="\n", bytes=1)):
        plain = json.dumps(to_data(whole), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        assert to_json(whole) == plain


@pytest.mark.parametrize("value", [float("nan"), [float("-inf")], {"a": object()}])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        to_json(value)


def test_a_value_survives_the_way_to_json_and_back() -> None:
    value = Outer(name="x", ratio=0.1, inner=(Inner(size=(3, 4), mode="b"),), note=None)
    assert from_json(Outer, to_json(value), where="x", error=StoreError) == value


def test_a_whole_build_config_survives_json() -> None:
    config = BuildConfig(link=(LinkConfig(model="a", mean=(0.5, 0.5, 0.5), std=(1, 1, 1)), LinkConfig(model="b")))
    assert from_data(BuildConfig, to_data(config)) == config


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ({"name": "x", "ratio": 1.0, "nmae": 1}, "unknown key 'nmae'; did you mean 'name'?"),
        ({"name": "x"}, "the key 'ratio' is missing"),
        ({"name": 3, "ratio": 1.0}, "x.name: expected a string, got 3"),
        ({"name": "x", "ratio": True}, "x.ratio: expected a number, got True"),
        ({"name": "x", "ratio": 1.0, "inner": [{"size": [1]}]}, "x.inner[0].size: expected 2 values, got 1"),
        ({"name": "x", "ratio": 1.0, "inner": [{"size": [1, 2.5]}]}, "expected an integer, got 2.5"),
        ({"name": "x", "ratio": 1.0, "inner": [{"size": [1, 2], "mode": "c"}]}, "unknown value 'c'"),
        ({"name": "x", "ratio": 1.0, "inner": {}}, "expected a list"),
        ([], "expected a table"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(data: object, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_data(Outer, data, where="x")
    assert part in str(caught.value)


def test_duplicate_keys_in_json_are_refused() -> None:
    with raises(StoreError, "E_JSON"):
        from_json(FileRef, '{"path": "a", "path": "b", "sha256": "", "bytes": 1}', where="x", error=StoreError)


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    with pytest.raises(StoreError):
        from_json(FileRef, "[" * 100_000, where="x", error=StoreError)


def test_json_is_canonical() -> None:
    rate = Rate(value=0.5, low=0.1, high=0.9, correct=1, images=2, groups=2)
    assert to_json(rate) == to_json(from_json(Rate, to_json(rate), where="x", error=StoreError))
    assert to_json(rate).splitlines()[1] == ' "correct": 1,'


def test_every_record_is_imported_from_the_package_itself() -> None:
    modules = [importlib.import_module(f"weckd_edge.artifacts.{m.name}") for m in pkgutil.iter_modules(artifacts.__path__)]
    here = {
        name
        for module in modules
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    }
    assert here
    assert here <= set(artifacts.__all__)
    assert all(getattr(artifacts, name) is not None for name in artifacts.__all__)
