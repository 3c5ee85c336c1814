"""Recognise masks by their names: files drawn beside an image to show where something is, no images themselves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath

from weckd_edge.train.data.listing.splits import FILLERS, is_filler, word_set, words_of

WORDS = word_set(
    "mask masks seg segm segmentation segmentations segmented gt groundtruth annotation annotations annotated annot roi "
    "contour contours outline matte silhouette labelmap trimap"
)
"""Words that mean a mask in the name of a file or a folder."""

_BESIDE = frozenset({"binary", "bin", "ground", "truth", "lesion", "label", "final", "instance", "semantic", *FILLERS})
"""Words that may stand beside a word that means a mask."""

_PARTS = re.compile(r"[^\W_]+")
_ENDS_IN = re.compile(r"(?i)(.+?)(mask|masks|gt|seg)\d*")


@lru_cache(4096)
def is_mask_folder(name: str) -> bool:
    """Tell whether a folder's name says that masks lie in it."""
    words = words_of(name)
    return any(word in WORDS for word in words) or {"ground", "truth"} <= set(words)


def pair_masks(paths: Iterable[str]) -> dict[str, str]:
    """Return the image of each mask, by names alone.

    A mask has the name of an image with a word such as ``mask`` or ``segmentation`` before or behind it; or the very name,
    in a folder called so; or the very name with another ending in the same folder: then either may be the other's.

    Args:
        paths: Paths relative to one folder, POSIX.

    Returns:
        Path of the image, by path of the mask.
    """
    images: dict[str, PurePosixPath] = {}
    beside: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = defaultdict(list)
    placed: dict[tuple[tuple[str, ...], str], PurePosixPath] = {}
    below_masks = []
    everything = [PurePosixPath(path) for path in sorted(paths)]
    for path in everything:
        stem = path.stem.lower()
        beside[path.parent, stem].append(path)
        if any(map(is_mask_folder, path.parts[:-1])):
            below_masks.append(path)
        else:
            images.setdefault(stem, path)
            placed.setdefault((_place(path), stem), path)
    found: dict[str, str] = {}
    for path in below_masks:
        image = placed.get((_place(path), path.stem.lower()))
        if image is not None:
            found[str(path)] = str(image)
    for path in everything:
        for name in _without_words(path.stem):
            near = [image for image in beside.get((path.parent, name), ()) if image != path]
            image = near[0] if near else images.get(name)
            if image is not None and image != path:
                found.setdefault(str(path), str(image))
    for images_of in beside.values():
        for one, other in zip(images_of, reversed(images_of), strict=True) if len(images_of) > 1 else ():
            found.setdefault(str(one), str(other if other != one else images_of[0]))
    return found


def _place(file: PurePosixPath) -> tuple[str, ...]:
    """Return the folders of a file's path, without those that only say that images or masks lie there."""
    return tuple(part for part in file.parts[:-1] if not is_mask_folder(part) and not is_filler(part))


def _without_words(stem: str) -> list[str]:
    """Return the names, in lower case, that the image of a mask with this name may have."""
    found = []
    parts = [(match.start(), match.end(), match[0].lower()) for match in _PARTS.finditer(stem)]
    is_named = False
    for n in range(len(parts) - 1, 0, -1):  # from behind, as long as the words mean a mask or stand beside one
        word = parts[n][2].rstrip("0123456789")
        if word and word not in WORDS and word not in _BESIDE:
            break
        is_named = is_named or word in WORDS or (word == "truth" and parts[n - 1][2] == "ground")
        if is_named:
            found.append(stem[: parts[n - 1][1]].lower())
            found.append(stem[: parts[n][0]].rstrip(" _-.").lower())
    is_named = False
    for n in range(len(parts) - 1):
        word = parts[n][2].rstrip("0123456789")
        if word and word not in WORDS and word not in _BESIDE:
            break
        is_named = is_named or word in WORDS
        if is_named:
            found.append(stem[parts[n + 1][0] :].lower())
    if match := _ENDS_IN.fullmatch(stem):
        found.append(match[1].rstrip(" _-.").lower())
    return found
