"""Copies and near copies are tied; look-alikes are kept from chaining; groups get stable names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from weckd_edge.config import DataConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.duplicates import FREE_SIZE, Tie, find_ties, group_images, perceptual_hash
from weckd_edge.train.data.listing import ListedImage
from weckd_edge.train.data.scan import ScannedImage, scan

DISTANCE = DataConfig().near_duplicate_distance or 0


def picture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    return Image.fromarray(cells).resize((120, 120), Image.Resampling.BICUBIC)


def scanned(image: Image.Image, path: str, group: str | None = None, label: str = "a") -> ScannedImage:
    pixels = np.asarray(image)
    return ScannedImage(
        listed=ListedImage(path=path, label=label, group=group),
        sha256=path,
        pixels_sha256=str(hash(pixels.tobytes())),
        width=image.width,
        height=image.height,
        grey=np.array(image.convert("L").resize((32, 32), Image.Resampling.BOX)),
        colour=np.array(image.resize((16, 16), Image.Resampling.BOX)),
    )


CHANGES = {
    "shifted": lambda image: image.crop((4, 3, 120, 120)).resize((120, 120)),
    "brighter": lambda image: image.point(lambda value: min(255, round(value * 1.15))),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "smaller": lambda image: image.resize((70, 70)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_slightly_changed_image_is_tied_to_its_original_alone(change: str) -> None:
    images = [scanned(picture(seed), f"{seed}.png") for seed in range(12)]
    images.append(scanned(CHANGES[change](picture(5)), "changed.png"))
    assert [(tie.a, tie.b) for tie in find_ties(images, DISTANCE)] == [(5, 12)]


def test_colour_tells_apart_what_grey_cannot() -> None:
    image = np.asarray(picture(3)).astype(float)
    grey = image.mean(2, keepdims=True)
    red, blue = (np.clip(grey * np.array(gain), 0, 255).astype(np.uint8) for gain in ((1.4, 0.6, 0.3), (0.3, 0.9, 1.8)))
    images = [scanned(Image.fromarray(red), "r.png"), scanned(Image.fromarray(blue), "b.png")]
    assert find_ties(images, 16) == ()


def test_flat_pictures_are_not_near_duplicates() -> None:
    images = [scanned(Image.new("RGB", (40, 40), (level,) * 3), f"{level}.png") for level in (0, 5, 200)]
    assert find_ties(images, 16) == ()


def test_hashes_are_64_bits_and_ignore_brightness() -> None:
    grey: NDArray[np.uint8] = np.array(picture(1).convert("L").resize((32, 32)))
    hashes = perceptual_hash(np.stack([grey, grey // 2 + 40, 255 - grey]))
    bits = np.unpackbits(hashes.view(np.uint8).reshape(3, 8), axis=1)
    assert (bits[0] != bits[1]).sum() <= 2
    assert (bits[0] != bits[2]).sum() >= 62


def test_users_groups_copies_and_near_duplicates_become_one_group() -> None:
    images = [
        scanned(picture(0), "a.png", "exam7"),
        scanned(picture(1), "b.png", "exam7"),
        scanned(picture(1), "c.png"),  # a copy
        scanned(picture(2), "d.png"),
        scanned(picture(3), "e.png"),
    ]
    found = group_images(images, [Tie(a=2, b=3, similarity=0.93)])
    assert found.groups[:4] == ("exam7",) * 4
    assert found.groups[4].startswith("auto-")
    assert (found.near_duplicate_groups, found.separate_ties) == (1, 0)
    assert group_images(images[4:], []).groups == found.groups[4:]


def test_groups_with_different_names_are_merged_by_copies_but_not_by_look_alikes() -> None:
    images = [scanned(picture(0), "a.png", "p1"), scanned(picture(1), "b.png", "p2"), scanned(picture(2), "c.png")]
    alike = group_images(images, [Tie(a=0, b=2, similarity=0.95), Tie(a=1, b=2, similarity=0.94)])
    assert alike.groups == ("p1", "p2", "p1")
    assert alike.separate_ties == 1
    assert len(set(group_images(images, [Tie(a=0, b=1, similarity=0.999)]).groups)) == 2
    copies = [scanned(picture(0), "a.png", "p2"), scanned(picture(0), "b.png", "p1")]
    assert group_images(copies, []).groups == ("p1", "p1")


def test_a_chain_of_look_alikes_does_not_swallow_the_set() -> None:
    count = 4 * FREE_SIZE
    images = [scanned(picture(i), f"{i:03d}.png") for i in range(count)]
    chain = [Tie(a=i, b=i + 1, similarity=0.92) for i in range(count - 1)]
    found = group_images(images, chain)
    assert max(Counter(found.groups).values()) <= FREE_SIZE
    assert found.separate_ties > 0
    dense = [Tie(a=a, b=b, similarity=0.92) for a in range(30) for b in range(a + 1, 30)]
    assert len(set(group_images(images[:30], dense).groups)) == 1


OTOSCOPY = Path(__file__).resolve().parents[5] / "shared/data/otoscopy_chile"


@pytest.mark.slow
@pytest.mark.skipif(not (OTOSCOPY / "groups.csv").is_file(), reason="the real images are not beside this checkout")
def test_the_published_otoscopy_split_is_seen_to_leak(tmp_path: Path) -> None:
    # The CSV's own groups and duplicate marks are cut away: what is found, is found in the pixels.
    rows = (OTOSCOPY / "groups.csv").read_text().splitlines()[1:]
    names = [row.split(",") for row in rows]
    for label in {name[1] for name in names}:
        (tmp_path / label).symlink_to((OTOSCOPY / label).resolve())
    lines = ["file,label,published_split", *(f"{name[0]},{name[1]},{name[4]}" for name in names)]
    (tmp_path / "set.csv").write_text("\n".join(lines))
    report = check_data(tmp_path / "set.csv", DataConfig(), SilentProgress())
    assert report.published_split is not None
    assert report.published_split.leaking_test_images == 68
    assert report.published_split.test_images == 160
    assert report.published_split.grouped_test_images >= 85
    assert report.exact_duplicates == 69
    truth = {name[0]: name[2] for name in names}
    listed = [ListedImage(path=name[0], label=name[1]) for name in names]
    images = scan(OTOSCOPY, listed, SilentProgress()).images
    groups = group_images(images, find_ties(images, DISTANCE)).groups
    mine = np.unique(groups, return_inverse=True)[1]
    true = np.unique([truth[image.listed.path] for image in images], return_inverse=True)[1]
    upper = np.triu_indices(len(images), 1)
    same, together = (true[:, None] == true)[upper], (mine[:, None] == mine)[upper]
    assert (same & together).sum() / together.sum() > 0.95
    assert (same & together).sum() / same.sum() > 0.8
