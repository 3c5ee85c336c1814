"""The filters' matrices: every number is short enough to be exact in float16 and TF32, and its parts are the weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput, prepared_frame  # noqa: E402 - behind the skip
from weckd_edge.compile.export.filter_form import BLOCK, LOWER, FilterResize  # noqa: E402 - likewise
from weckd_edge.devices.images.filters import filter_axes  # noqa: E402 - likewise


def spec_of(height: int, width: int, size: tuple[int, int], resize: Any) -> InputSpec:
    frame = prepared_frame(FrameSpec(height=height, width=width, crop="center", resize=resize), size, 0.875)
    network = NetworkInput(height=size[0], width=size[1], mean=(0.0,) * 3, std=(1.0,) * 3)
    return InputSpec(frame=frame, network=network)


@pytest.mark.parametrize("resize", ["antialiased_bilinear", "antialiased_bicubic"])
@pytest.mark.parametrize(("height", "width", "size"), [(480, 640, (160, 160)), (61, 90, (57, 83)), (30, 40, (64, 64))])
def test_both_parts_of_a_weight_have_eleven_bits_and_make_it_up(
    height: int, width: int, size: tuple[int, int], resize: str
) -> None:
    spec = spec_of(height, width, size, resize)
    made = FilterResize(spec)
    rows, _ = filter_axes(spec.frame, size)
    matrices = dict(made.named_buffers())
    for name, matrix in matrices.items():
        assert torch.equal(matrix, matrix.half().float()), name
    for start, (name, first, count) in zip(range(0, size[0], BLOCK), made.rows, strict=True):
        upper, lower = (matrices[f"{name}_{half}"].double().numpy() for half in ("upper", "lower"))
        at = made.used[0] + first
        assert np.array_equal(upper + lower / LOWER, rows[start : start + BLOCK, at : at + count])


def test_sums_stay_within_the_bits_of_float32() -> None:
    spec = spec_of(480, 640, (96, 96), "antialiased_bicubic")
    for name, matrix in FilterResize(spec).named_buffers():
        steps = matrix.abs().double().sum(dim=1 if name.startswith("row") else 0) * 1024 * 255
        assert float(steps.max()) < 2**24, name
