"""Random views see of an image what the device would see of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402 - behind the skip

from weckd_edge.artifacts import FrameSpec, Resize  # noqa: E402
from weckd_edge.core.progress import SilentProgress  # noqa: E402
from weckd_edge.train.data import pixel_cache  # noqa: E402
from weckd_edge.train.data.pixel_cache import build_cache, open_cache, plan_cache  # noqa: E402
from weckd_edge.train.distill.loop.augmentation import Pictures, Views, apply_views, draw_views  # noqa: E402
from weckd_edge.train.networks.preprocess import crop_and_resize  # noqa: E402

FINE = 1e-2
"""Grey levels by which a view may differ from what it is compared with, as its places are computed in float32."""


def spec(height: int, width: int, resize: Resize = "area") -> FrameSpec:
    return FrameSpec(height=height, width=width, crop="center", resize=resize)


def noise(frame: FrameSpec, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (1, frame.height, frame.width, 3), dtype=np.uint8)
    return torch.from_numpy(values)


def pictures(frames: torch.Tensor, frame: FrameSpec, size: int, images: int = 1) -> Pictures:
    plan = plan_cache(images, frame, [size])
    return Pictures(pixels=plan.picture(frames, size)[None], span=plan.span(size))


def view(across: float = 1.0, shift: float = 0.0) -> Views:
    """A view without turn, zoom and colour; ``across`` is -1 for a mirrored one, ``shift`` is in halves of the image."""
    one = torch.ones(1)
    return Views(
        affine=torch.tensor([[[across, 0.0, shift], [0.0, 1.0, 0.0]]]), brightness=one, contrast=one, saturation=one
    )


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (spec(96, 128), 32),
        (spec(100, 90), 32),
        (spec(97, 131), 40),
        (spec(50, 50), 64),
        (spec(33, 40), 32),
        (spec(64, 64), 64),
    ],
)
@pytest.mark.parametrize("places", [1, 2, 3])
def test_the_plain_view_is_what_the_device_sees(
    frame: FrameSpec, size: int, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_cache, "PLACES", places)
    frames = noise(frame)
    shown = apply_views(pictures(frames, frame, size), draw_views(1, 0, torch.Generator()), size)
    assert torch.allclose(shown, crop_and_resize(frames, frame, (size, size)), atol=FINE)


def test_the_mirrored_view_is_what_the_device_sees_mirrored() -> None:
    frame = spec(96, 128)
    frames = noise(frame)
    shown = apply_views(pictures(frames, frame, 32), view(across=-1), 32)
    assert torch.allclose(shown, crop_and_resize(frames, frame, (32, 32)).flip(3), atol=FINE)


def test_a_view_between_network_pixels_is_what_the_device_sees_of_the_shifted_image() -> None:
    """Half a network pixel of 32 is two of the image's 128 pixels: another picture, not a mean of two of the device's."""
    frame = spec(128, 128)
    frames = noise(frame)
    shown = apply_views(pictures(frames, frame, 32), view(shift=1 / 32), 32)
    shifted = crop_and_resize(frames.roll(-2, dims=2), frame, (32, 32))
    assert torch.allclose(shown[..., :-1], shifted[..., :-1], atol=1)
    plain = crop_and_resize(frames, frame, (32, 32))
    assert not torch.allclose((plain[..., :-1] + plain[..., 1:]) / 2, shifted[..., :-1], atol=10)


@pytest.mark.parametrize("size", [24, 32, 48])
def test_what_is_too_fine_for_a_network_is_not_in_any_view_of_it(size: int) -> None:
    """Stripes that are half as wide as a network pixel are grey to the device, and were a pattern in views that alias."""
    frame = spec(4 * size, 4 * size)
    stripes = torch.full((1, 4 * size, 4 * size, 3), 255, dtype=torch.uint8)
    stripes[:, :, [i for i in range(4 * size) if i % 4 < 2]] = 0
    views = draw_views(16, 0.5, torch.Generator().manual_seed(0))
    plain = Views(affine=views.affine, **dict.fromkeys(("brightness", "contrast", "saturation"), torch.ones(16)))
    spread = {}
    for kind in ("area", "bilinear"):
        given = pictures(stripes, spec(4 * size, 4 * size, kind), size)  # type: ignore[arg-type]  # a Resize
        many = Pictures(pixels=given.pixels.expand(16, -1, -1, -1), span=given.span)
        spread[kind] = float(apply_views(many, plain, size)[:, :, 4:-4, 4:-4].std())
    assert float(crop_and_resize(stripes, frame, (size, size)).std()) == 0
    assert spread["area"] < 1
    assert spread["bilinear"] > 20


def test_a_smaller_and_a_larger_network_see_the_same_view() -> None:
    frame = spec(96, 96)
    smooth = torch.from_numpy(np.asarray(Image.radial_gradient("L").convert("RGB").resize((96, 96)))[None].copy())
    views = draw_views(1, 1.0, torch.Generator().manual_seed(3))
    large, small = (apply_views(pictures(smooth, frame, size), views, size) for size in (48, 24))
    assert torch.allclose(torch.nn.functional.avg_pool2d(large, 2)[..., 2:-2, 2:-2], small[..., 2:-2, 2:-2], atol=4)


def test_the_cache_becomes_coarser_before_it_becomes_larger_than_it_may() -> None:
    frame = spec(480, 640)
    fits = pixel_cache.MAX_BYTES // (3 * (191**2 + 127**2))
    assert plan_cache(fits, frame, [96, 64, 96]).places == 2
    coarse = plan_cache(fits + 1, frame, [64, 96])
    assert (coarse.places, coarse.side(96), coarse.span(96)) == (1, 96, 1.0)


@pytest.mark.parametrize("resize", ["antialiased_bilinear", "bilinear"])
def test_other_resizes_than_area_keep_a_picture_with_a_margin(resize: Resize) -> None:
    frame = spec(120, 160, resize)
    plan, frames = plan_cache(1, frame, [40]), noise(frame)
    assert (plan.side(40), plan.span(40)) == (46, 1.0)
    assert torch.equal(
        plan.picture(frames, 40).permute(2, 0, 1)[None].float(), crop_and_resize(frames, frame, (46, 46)).round()
    )


def test_the_cache_holds_each_size_once_from_files_that_are_decoded_once(tmp_path: Path) -> None:
    frame = spec(60, 80)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        Image.fromarray(noise(frame, i)[0].numpy()).save(path)
    folder = tmp_path / "cache"
    folder.mkdir()
    plan = plan_cache(3, frame, [20, 12, 20])
    opened = open_cache(build_cache(paths, plan, folder, SilentProgress()), folder)
    assert {size: images.pixels.shape for size, images in opened.items()} == {12: (3, 23, 23, 3), 20: (3, 39, 39, 3)}
    for i in range(3):
        assert np.array_equal(opened[20].pixels[i], plan.picture(noise(frame, i), 20).numpy())
        assert opened[20].span == plan.span(20) == 39 / 40
