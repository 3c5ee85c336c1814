"""What an ONNX file's metadata says about how images were made the network's input."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weckd_edge.artifacts import trained_normalisation, trained_size
from weckd_edge.compile.importing.hints import InputHints
from weckd_edge.compile.importing.input_form import is_floating

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

_ULTRALYTICS = {"mean": [0.0] * 3, "std": [1.0] * 3, "crop_pct": 1.0, "interpolation": "bilinear"}
"""How Ultralytics evaluates its classifiers, by timm's names; its files name the size alone."""

_LONGEST = 1 << 16
"""Longest value that is read, characters."""


def read_metadata(model: ModelProto) -> dict[str, Any]:
    """Return a file's metadata as a trainer's settings; what is under timm's ``pretrained_cfg`` stands beside the rest."""
    found = {entry.key: _value(entry.value) for entry in model.metadata_props}
    nested = found.get("pretrained_cfg")
    if found.get("author") == "Ultralytics" and found.get("task") == "classify":
        found = {**_ULTRALYTICS, "input_size": found.get("imgsz"), **found}
    return {**found, **nested} if isinstance(nested, dict) else found


def completed(hints: InputHints, settings: Mapping[str, Any], entry: ValueInfoProto) -> InputHints:
    """Return the user's hints, with what they and the network's input leave open taken from a file's settings.

    Args:
        hints: Hints of the user.
        settings: Settings that the file holds.
        entry: The network's input.
    """
    colours = trained_normalisation(settings)
    if is_floating(entry) and hints.mean is None and colours is not None:
        hints = replace(hints, mean=colours[0], std=colours[1])
    is_open = any(dim.dim_value < 1 for dim in entry.type.tensor_type.shape.dim[1:])
    return replace(hints, input_size=trained_size(settings)) if is_open and hints.input_size is None else hints


def _value(text: str) -> Any:
    """Return a value as JSON or as Python's literals have it, or else as the text that it is."""
    if len(text) > _LONGEST:
        return text
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text
