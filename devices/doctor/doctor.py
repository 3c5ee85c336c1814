"""Diagnosis of this machine: what works, what is missing, and what to type to get it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import weckd_edge
from weckd_edge.artifacts import Target
from weckd_edge.core.errors import MissingDependency
from weckd_edge.core.optional_imports import DISTRIBUTION_OF, EXTRA_OF, is_installed, require, version_of
from weckd_edge.devices.doctor.advice import Advice, advise
from weckd_edge.devices.doctor.bundle_state import BundleState
from weckd_edge.devices.machine.detect import DetectedMachine, detect
from weckd_edge.devices.native.library import describe_library
from weckd_edge.devices.profiles.profile import load_profile, profile_names
from weckd_edge.devices.profiles.records import Int8Runtime

State = Literal["works", "absent", "broken"]
_BASE = ("click", "numpy", "PIL", "rich")
_QUANTIZE, _OPENVINO, _FINALIZE = "export and quantize", "build and run OpenVINO models", "build the engine (finalize)"
_TRAIN = ("torch", "torchvision", "timm", "lightning_fabric", "safetensors", "scipy", "torch_pruning")


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """State of one library.

    Attributes:
        module: Name of the module that is imported.
        state: ``works``: it imports; ``absent``: it is not installed; ``broken``: it is installed and does not import.
        version: Version of the library; None where it is absent.
        detail: Why it does not work, with what to type; None where it works.
    """

    module: str
    state: State
    version: str | None
    detail: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ability:
    """Task of this software, and whether it works here.

    Attributes:
        name: Name of the task, such as ``train a chain``.
        target: Target that needs it; None where every target does.
        works: Whether it works here.
        missing: Modules that are absent or broken.
        hint: What to type, or what the task needs; None where it works.
    """

    name: str
    target: Target | None
    works: bool
    missing: tuple[str, ...]
    hint: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetState:
    """Whether bundles for one target can be built and run here.

    Attributes:
        target: The target.
        builds: Whether a bundle for it can be built here from a trained network.
        runs: Whether a bundle for it can be run here.
        note: What is missing, or where the rest is done, in words; None where both work.
    """

    target: Target
    builds: bool
    runs: bool
    note: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Diagnosis of a machine.

    Attributes:
        weckd_edge: Version of this software.
        python: Version of Python.
        device: The detected machine.
        governor: Clock governors in words.
        pixels: What crops, resizes and measures frames: the compiled library and its instructions, or NumPy and why.
        libraries: State of every library, those of the base installation first.
        abilities: Tasks, and whether each works here.
        targets: What can be built and run, by target; empty where not every library was checked.
        advice: Advice on settings, so that the machine runs fast and evenly.
        bundle: What the machine runs of a bundle; None where none was named.
        int8: What is known of int8 in each runtime on such a machine; ``verify`` counts the layers of a bundle.
    """

    weckd_edge: str
    python: str
    device: DetectedMachine
    governor: str
    pixels: str
    libraries: tuple[Library, ...]
    abilities: tuple[Ability, ...]
    targets: tuple[TargetState, ...] = ()
    advice: tuple[Advice, ...] = ()
    bundle: BundleState | None = None
    int8: tuple[Int8Runtime, ...] = ()


def diagnose(
    root: Path = Path("/"),
    modules: Sequence[str] | None = None,
    folder: Path = Path(),
    *,
    installed: Callable[[str], bool] = is_installed,
    load: Callable[[str, str], object] = require,
) -> Diagnosis:
    """Diagnose this machine; each library is really imported, which takes a few seconds.

    Args:
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        modules: Libraries to check; None takes all that this package can use.
        folder: Folder for bundles and engines; the free space of its disk is checked.
        installed: Function that tells whether a library is installed.
        load: Function that imports a library for a purpose in words.
    """
    found = detect(root)
    names = (*_BASE, *sorted(EXTRA_OF)) if modules is None else tuple(modules)
    libraries = tuple(check_library(name, installed=installed, load=load) for name in names)
    profile = load_profile(found.profile) if found.recognised else None
    abilities = _abilities({library.module: library for library in libraries}, found)
    return Diagnosis(
        weckd_edge=weckd_edge.__version__,
        python=".".join(str(part) for part in sys.version_info[:3]),
        device=found,
        governor=", ".join(found.governors) or "not shown here (usual in a virtual machine or container)",
        pixels=describe_library(),
        libraries=libraries,
        abilities=abilities,
        targets=_targets({ability.name: ability for ability in abilities}),
        advice=advise(root, found, profile, folder),
        int8=load_profile(found.profile).int8 if found.profile in profile_names() else (),
    )


def check_library(
    module: str, *, installed: Callable[[str], bool] = is_installed, load: Callable[[str, str], object] = require
) -> Library:
    """Import one library and report its state.

    Args:
        module: Name of the module that is imported.
        installed: Function that tells whether a library is installed.
        load: Function that imports a library for a purpose in words.
    """
    if not installed(module):
        return Library(module=module, state="absent", version=None, detail=_how_to_get(module))
    version = version_of(module)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(module, "do its work")
    except MissingDependency as err:
        return Library(module=module, state="broken", version=version, detail=str(err))
    except Exception as err:  # a broken library may raise anything while it is imported
        first = (str(err).splitlines() or [""])[0][:120]
        detail = f"{module} is installed but broken ({type(err).__name__}: {first}); {_how_to_get(module)}"
        return Library(module=module, state="broken", version=version, detail=detail)
    return Library(module=module, state="works", version=version, detail=None)


def _how_to_get(module: str) -> str:
    if module == "tensorrt":
        return "on a Jetson: sudo apt install python3-libnvinfer; nowhere else needed"
    extra = EXTRA_OF.get(module)
    return f"pip install 'weckd-edge[{extra}]'" if extra else f"pip install {DISTRIBUTION_OF.get(module, module)}"


def _abilities(libraries: dict[str, Library], found: DetectedMachine) -> tuple[Ability, ...]:
    rows: tuple[tuple[str, Target | None, tuple[str, ...], str], ...] = (
        ("train a chain", None, _TRAIN, "pip install 'weckd-edge[train]'"),
        (_QUANTIZE, None, ("onnx", "onnxruntime"), "pip install 'weckd-edge[compile]'"),
        (_OPENVINO, "cpu", ("openvino",), "pip install 'weckd-edge[cpu]'"),
        (
            "prove a graph with TensorRT's parser, without a GPU",
            "jetson",
            ("tensorrt_rtx",),
            "pip install 'weckd-edge[jetson-preflight]' (x86-64 only)",
        ),
        ("write the report", None, ("jinja2", "cyclonedx"), "pip install 'weckd-edge[report]'"),
        ("sign bundles", None, ("model_signing",), "pip install 'weckd-edge[sign]'"),
    )
    abilities = [_ability(libraries, *row) for row in rows if all(name in libraries for name in row[2])]
    if "tensorrt" in libraries:
        engine = _ability(libraries, _FINALIZE, "jetson", ("tensorrt",), _how_to_get("tensorrt"))
        if found.l4t is None:
            hint = "copy the bundle to the Jetson and run weckd-edge finalize there: an engine runs where it was built"
            engine = Ability(name=engine.name, target="jetson", works=False, missing=engine.missing, hint=hint)
        abilities.append(engine)
    return tuple(abilities)


def _targets(abilities: dict[str, Ability]) -> tuple[TargetState, ...]:
    if not {_QUANTIZE, _OPENVINO, _FINALIZE} <= abilities.keys():
        return ()
    quantize, openvino, finalize = abilities[_QUANTIZE], abilities[_OPENVINO], abilities[_FINALIZE]
    rows: tuple[tuple[Target, tuple[Ability, ...], Ability], ...] = (
        ("cpu", (quantize, openvino), openvino),
        ("jetson", (quantize,), finalize),
    )
    return tuple(
        TargetState(
            target=target,
            builds=all(ability.works for ability in needs),
            runs=runner.works,
            note="; ".join(dict.fromkeys(a.hint for a in (*needs, runner) if a.hint is not None)) or None,
        )
        for target, needs, runner in rows
    )


def _ability(libraries: dict[str, Library], name: str, target: Target | None, needs: tuple[str, ...], hint: str) -> Ability:
    missing = tuple(module for module in needs if libraries[module].state != "works")
    return Ability(name=name, target=target, works=not missing, missing=missing, hint=hint if missing else None)
