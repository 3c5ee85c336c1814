"""Copies and near copies are tied; look-alikes are kept from chaining; groups get stable names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from weckd_edge.config import DataConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import sha256_bytes
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.duplicates import candidates
from weckd_edge.train.data.duplicates.groups import FREE_SIZE, group_images
from weckd_edge.train.data.duplicates.thumbnails import Thumbnails, perceptual_hash
from weckd_edge.train.data.duplicates.ties import Ties, find_alike, find_ties, no_ties
from weckd_edge.train.data.listing import ListedImage
from weckd_edge.train.data.scan import ScannedImage, scan
from weckd_edge.train.data.scan_store import open_scan_store

DISTANCE = DataConfig().near_duplicate_distance or 0


def picture(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    return Image.fromarray(cells).resize((120, 120), Image.Resampling.BICUBIC)


class Pictures:
    """Images in memory, as they are after a scan, with their thumbnails."""

    def __init__(self) -> None:
        self.images: list[ScannedImage] = []
        self._grey: list[NDArray[np.uint8]] = []
        self._colour: list[NDArray[np.uint8]] = []

    def add(self, image: Image.Image, path: str, group: str | None = None) -> None:
        grey = np.array(image.convert("L").resize((32, 32), Image.Resampling.BOX))
        self._grey.append(grey)
        self._colour.append(np.array(image.resize((16, 16), Image.Resampling.BOX)))
        self.images.append(
            ScannedImage(
                listed=ListedImage(path=path, label="a", group=group),
                sha256=path,
                pixels_sha256=sha256_bytes(np.asarray(image).tobytes()),
                width=image.width,
                height=image.height,
                picture_hash=int(perceptual_hash(grey[None])[0]),
                thumbnail=len(self._grey) - 1,
            )
        )

    def thumbnails(self, numbers: NDArray[np.int64]) -> Thumbnails:
        return Thumbnails(grey=np.stack(self._grey)[numbers], colour=np.stack(self._colour)[numbers])

    def ties(self, distance: int = DISTANCE) -> Ties:
        return find_ties(self.images, distance, self)

    def tied(self, distance: int = DISTANCE) -> list[tuple[int, int]]:
        return [(a, b) for a, b, _, _ in self.ties(distance).pairs()]


def pictures(*images: Image.Image, groups: Sequence[str | None] = ()) -> Pictures:
    found = Pictures()
    for n, image in enumerate(images):
        found.add(image, f"{n:04d}.png", groups[n] if groups else None)
    return found


def made_ties(images: Sequence[ScannedImage], *pairs: tuple[int, int, float]) -> Ties:
    """Return ties between images as they would be found, with the copies among the images."""
    first, second, similarity = (np.array(column) for column in zip(*pairs, strict=True))
    return replace(
        find_ties(images, 0, Nothing()),
        first=first.astype(np.int32),
        second=second.astype(np.int32),
        similarity=similarity.astype(np.float32),
        weight=np.ones(len(pairs), np.float32),
    )


class Nothing:
    """Thumbnails that are like no others."""

    def thumbnails(self, numbers: NDArray[np.int64]) -> Thumbnails:
        return Thumbnails(
            grey=np.zeros((len(numbers), 32, 32), np.uint8), colour=np.zeros((len(numbers), 16, 16, 3), np.uint8)
        )


CHANGES = {
    "shifted": lambda image: image.crop((4, 3, 120, 120)).resize((120, 120)),
    "brighter": lambda image: image.point(lambda value: min(255, round(value * 1.15))),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    "smaller": lambda image: image.resize((70, 70)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_slightly_changed_image_is_tied_to_its_original_alone(change: str) -> None:
    found = pictures(*map(picture, range(12)), CHANGES[change](picture(5)))
    assert found.tied() == [(5, 12)]


def test_colour_tells_apart_what_grey_cannot() -> None:
    image = np.asarray(picture(3)).astype(float)
    grey = image.mean(2, keepdims=True)
    red, blue = (np.clip(grey * np.array(gain), 0, 255).astype(np.uint8) for gain in ((1.4, 0.6, 0.3), (0.3, 0.9, 1.8)))
    assert pictures(Image.fromarray(red), Image.fromarray(blue)).tied(16) == []


def test_flat_pictures_are_not_near_duplicates() -> None:
    assert pictures(*(Image.new("RGB", (40, 40), (level,) * 3) for level in (0, 5, 200, 200))).tied(16) == []


def test_hashes_are_64_bits_and_ignore_brightness() -> None:
    grey: NDArray[np.uint8] = np.array(picture(1).convert("L").resize((32, 32)))
    hashes = perceptual_hash(np.stack([grey, grey // 2 + 40, 255 - grey]))
    bits = np.unpackbits(hashes.view(np.uint8).reshape(3, 8), axis=1)
    assert (bits[0] != bits[1]).sum() <= 2
    assert (bits[0] != bits[2]).sum() >= 62


def test_copies_are_compared_once_for_all_and_count_as_many() -> None:
    found = pictures(picture(0), CHANGES["blurred"](picture(0)), picture(0), picture(1), picture(1))
    ties = found.ties()
    assert found.tied() == [(0, 1)]
    assert {a: list(own) for a, own in ties.copies.items()} == {0: [0, 2], 3: [3, 4]}
    named = pictures(picture(0), CHANGES["blurred"](picture(0)), picture(0), groups=("p", "q", "p")).images
    apart = group_images(named, made_ties(named, (0, 1, 0.95)))
    assert (apart.separate_ties, apart.near_duplicate_groups) == (2, 0)


def test_users_groups_copies_and_near_duplicates_become_one_group() -> None:
    images = pictures(*map(picture, (0, 1, 1, 2, 3)), groups=("exam7", "exam7", None, None, None)).images
    found = group_images(images, made_ties(images, (1, 3, 0.93)))
    assert found.groups[:4] == ("exam7",) * 4
    assert found.groups[4].startswith("auto-")
    assert (found.near_duplicate_groups, found.separate_ties) == (1, 0)
    assert group_images(images[4:], no_ties()).groups == found.groups[4:]


def test_groups_with_different_names_are_merged_by_copies_but_not_by_look_alikes() -> None:
    images = pictures(*map(picture, range(3)), groups=("p1", "p2", None)).images
    alike = group_images(images, made_ties(images, (0, 2, 0.95), (1, 2, 0.94)))
    assert alike.groups == ("p1", "p2", "p1")
    assert alike.separate_ties == 1
    assert len(set(group_images(images, made_ties(images, (0, 1, 0.999))).groups)) == 2
    copies = pictures(picture(0), picture(0), groups=("p2", "p1")).images
    assert group_images(copies, no_ties()).groups == ("p1", "p1")


def test_a_chain_of_look_alikes_does_not_swallow_the_set() -> None:
    count = 4 * FREE_SIZE
    images = pictures(*map(picture, range(count))).images
    found = group_images(images, made_ties(images, *((i, i + 1, 0.92) for i in range(count - 1))))
    assert max(Counter(found.groups).values()) <= FREE_SIZE
    assert found.separate_ties > 0
    dense = made_ties(images[:30], *((a, b, 0.92) for a in range(30) for b in range(a + 1, 30)))
    assert len(set(group_images(images[:30], dense).groups)) == 1


def noisy(noise: int) -> Image.Image:
    """Return one picture with noise of its own, as the frames of a camera that nobody moves have."""
    pixels = np.asarray(picture(7)).astype(int) + np.random.default_rng(noise).integers(-12, 13, (120, 120, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def test_frames_that_are_all_alike_become_one_group_of_some_of_their_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [picture(100), CHANGES["blurred"](picture(100)), picture(101)]
    found = pictures(*(noisy(n) for n in range(150)), *others)
    every = found.ties()
    monkeypatch.setattr(candidates, "ALL_PAIRS", 0)
    monkeypatch.setattr(candidates, "PAIRS_EACH", 8)
    some = found.ties()
    assert len(every.first) == 150 * 149 // 2 + 1
    assert len(some.first) < 150 * 20
    assert float(some.weight.sum()) == pytest.approx(len(every.first), rel=0.1)
    assert (150, 151) in found.tied()  # what has few near ones is looked at as ever
    assert group_images(found.images, some) == group_images(found.images, every)
    assert [len(set(group_images(found.images, some).groups[at:])) for at in (0, 150)] == [3, 2]


def test_none_of_many_that_are_like_a_known_image_is_overlooked() -> None:
    found = pictures(picture(1), noisy(0), *(noisy(n) for n in range(1, 60)), picture(1), picture(2))
    alike = find_alike(found.images[:2], found.images[2:], DISTANCE, found)
    assert alike.tolist() == [True] * 60 + [False]
    assert find_alike([], found.images, DISTANCE, found).tolist() == [False] * 63


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
    assert report.published_split.copies == 68
    assert report.published_split.test_images == 160
    assert report.published_split.grouped >= 85
    assert report.exact_duplicates == 69
    truth = {name[0]: name[2] for name in names}
    listed = [ListedImage(path=name[0], label=name[1]) for name in names]
    with open_scan_store(None, SilentProgress()) as store:
        images = scan(OTOSCOPY, listed, SilentProgress(), store=store).images
        groups = group_images(images, find_ties(images, DISTANCE, store)).groups
    mine = np.unique(groups, return_inverse=True)[1]
    true = np.unique([truth[image.listed.path] for image in images], return_inverse=True)[1]
    upper = np.triu_indices(len(images), 1)
    same, together = (true[:, None] == true)[upper], (mine[:, None] == mine)[upper]
    assert (same & together).sum() / together.sum() > 0.95
    assert (same & together).sum() / same.sum() > 0.8
