"""Frames that cannot be classified give an error that says why, with one status for each kind, in both kinds of bundles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from support.frames.bad_frames import BAD_FRAMES, C_STATUS, CONTRACT, NETWORK, BadFrame

COVER = 1


@pytest.fixture(scope="module", params=["area", "bilinear"])
def opened(
    request: Any, binding: ModuleType, library: Any, toy: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    spec = toy.area_input_spec(*CONTRACT)
    assert spec.network.size == NETWORK
    folder = toy.write_bundle(tmp_path_factory.mktemp("bad") / "bundle", spec=spec, **toy.IN_C).folder
    if request.param != "area":
        manifest = toy.open_bundle(folder).manifest
        toy.seal(folder, replace(manifest, input=replace(spec, frame=replace(spec.frame, resize=request.param))))
    sides = {"max_source_width": 299, "max_source_height": 299}
    found = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(folder), backend=b"echo", **sides)
    yield found
    found.close()


def classify(opened: Any, frame: BadFrame) -> Any:
    names = ("roi_y", "roi_x", "roi_height", "roi_width")
    region = dict(zip(names, frame.region, strict=True)) if frame.region else {}
    fields = {"format": frame.layout, "height": frame.height, "width": frame.width, **region, **frame.more}
    return opened.classify(bytes(4 * 300 * 300), fit=COVER, **fields)


@pytest.mark.parametrize("frame", [frame for frame in BAD_FRAMES if frame.c is not None], ids=lambda frame: frame.name)
def test_a_bad_frame_is_refused_with_its_status(opened: Any, binding: ModuleType, frame: BadFrame) -> None:
    with pytest.raises(binding.WeckdCError, match=r"frame: [a-zA-Z0-9].{15,}") as caught:
        classify(opened, frame)
    assert caught.value.status == C_STATUS[str(frame.c)]


def test_a_frame_that_is_bad_in_nothing_is_taken(opened: Any) -> None:
    for good in (
        BadFrame(name="nothing"),
        BadFrame(name="nothing", region=(2, 3, 8, 8)),
        BadFrame(name="small", height=8, width=8),
    ):
        assert set(classify(opened, good).probabilities) == set(opened.labels)
