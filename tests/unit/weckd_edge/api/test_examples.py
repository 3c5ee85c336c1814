"""The examples in the docstrings of the public API run, and print what they say."""

import doctest
import warnings
from collections.abc import Iterator
from inspect import getmembers, isfunction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import weckd_edge
from support.training.toy_chain import TOY_LINKS_TOML

CONFIG = (
    TOY_LINKS_TOML
    + """
[data]
labelled_fraction = 0.5
[train]
epochs = 1
steps_per_epoch = 2
batch = 4
threads = 1
[quantize]
precision = "int8"
method = "minmax"
images = 8
[bench]
queries = 64
warmup = 0
[selftest]
frames = 2
[audit]
enabled = false
[gates]
better_than_chance = false
"""
)


def with_examples() -> Iterator[tuple[str, Any]]:
    """Yield what the public names document: themselves, and the public methods and properties of the classes of ours."""
    yield "weckd_edge", weckd_edge
    for name in weckd_edge.__all__:
        found = getattr(weckd_edge, name)
        if isinstance(found, ModuleType | str):
            continue
        yield name, found
        if found.__module__.startswith("weckd_edge.api"):
            for member, value in getmembers(found):
                if not member.startswith("_") and (isfunction(value) or isinstance(value, property)):
                    yield f"{name}.{member}", value


EXAMPLES = {
    name: test
    for name, found in with_examples()
    if (test := doctest.DocTestParser().get_doctest(found.__doc__ or "", {}, name, None, None)).examples
}


def run(name: str) -> None:
    lines: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(EXAMPLES[name], out=lines.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(lines)


def test_every_function_and_method_that_does_something_has_an_example() -> None:
    documented = {name for name, found in with_examples() if isfunction(found)}
    assert documented - set(EXAMPLES) == {"Model.close"}


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ("build", "compile_model")])
def test_an_example_with_a_kept_bundle_runs(name: str, here: Path) -> None:
    pytest.importorskip("openvino")
    run(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["build", "compile_model"])
def test_an_example_that_makes_a_bundle_runs(
    name: str, ears: Path, networks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("openvino", "jinja2", "timm"):
        pytest.importorskip(library)
    ears.rename(tmp_path / "images")
    (tmp_path / "build.toml").write_text(CONFIG)
    if name == "compile_model":
        write_network(tmp_path / "network.onnx", networks)
    monkeypatch.chdir(tmp_path)
    run(name)
    if name == "build":  # again, from its finished steps, by a way that leads through a folder that is not there
        again = weckd_edge.build("images", out="later/../new-bundle", config="build.toml")
        assert again.path == tmp_path / "new-bundle"


def write_network(path: Path, networks: ModuleType) -> None:
    """Write a classifier of two classes with an input of 16 by 16 pixels."""
    import torch

    network = torch.nn.Sequential(
        networks.conv(3, 4, 3, act=torch.nn.ReLU), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )
    with torch.no_grad():
        network[0][0].weight.fill_(1 / 27)
        network[3].weight.copy_(torch.tensor([[-1.0] * 4, [1.0] * 4]))
        network[3].bias.copy_(torch.tensor([2.0, -2.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an export that will go, and needs no other library
        torch.onnx.export(network.eval(), (torch.zeros(1, 3, 16, 16),), str(path), dynamo=False, opset_version=17)
