"""Decide whether the split that a data set came with is kept, and count its leaks.

A split that somebody made is kept by default. They may know what no search in the pixels finds (patients, sites, dates), a
network that is imported was trained on its training part, and figures stay comparable. Its leaks are reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from weckd_edge.artifacts import SPLITS, DataNote, PublishedLeaks, Split
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.listing.notes import counted, note
from weckd_edge.train.data.scan import ScannedImage


def test_part(splits: Sequence[Split | None]) -> Split:
    """Return the published split that is tested on: the validation split where there is no other held-out one."""
    return "test" if "test" in splits else "val"


def keeps_published(
    labels: Sequence[str], splits: Sequence[Split | None], config: DataConfig
) -> tuple[bool, tuple[DataNote, ...]]:
    """Return whether the split that a data set came with is kept, and notes on the decision.

    Args:
        labels: Class of each image.
        splits: Published split of each image; None without one.
        config: Settings, of which the choice about the published split is used.

    Raises:
        DataError: The published split was asked for, and is missing or incomplete.
    """
    problem = _problem(labels, splits)
    if config.use_published_split and problem:
        raise DataError(
            f"data.use_published_split (--published-split) expects images that are named train or test (or val): {problem}; "
            "complete the split, or leave the setting out",
            code="E_DATA_PUBLISHED_SPLIT",
        )
    if not any(splits):
        return False, ()
    parts = ", ".join(f"{name} {count}" for name, count in Counter(name for name in splits if name).most_common())
    if config.use_published_split is False:
        return False, (
            note(
                "I_SPLIT_NOT_USED",
                f"the split that the data set came with ({parts}) is not used, as asked; a new one is made",
            ),
        )
    if problem:
        text = f"the split that the data set came with ({parts}) is not used, and a new one is made: {problem}"
        code = (
            "I_SPLIT_NOT_USED" if len(set(splits)) == 1 else "W_SPLIT_NOT_USED"
        )  # a split of one part holds nothing to lose
        return False, (note(code, text),)
    remark = "" if "test" in splits else "; its validation images are the test images, as it names no others"
    return True, (note("I_SPLIT_USED", f"the split that the data set came with is used ({parts}){remark}"),)


def _problem(labels: Sequence[str], splits: Sequence[Split | None]) -> str:
    """Return the reason why the published split cannot be used; empty where it can."""
    count = Counter(splits)
    if count[None]:
        return f"got {count[None]} unnamed of {len(splits)} images"
    if not count["train"]:
        return "got no training images"
    if not count["test"] and not count["val"]:
        return "got training images alone"
    for split in SPLITS:
        held = {label for label, one in zip(labels, splits, strict=True) if one == split}
        missing = sorted(set(labels) - held)
        if held and missing:
            return f"the published {split} split holds no image of class '{missing[0]}'"
    return ""


def count_leaks(images: Sequence[ScannedImage], groups: Sequence[str]) -> PublishedLeaks | None:
    """Count the leaks of the published split.

    Args:
        images: All images that can be used, copies among them.
        groups: Group of each image.

    Returns:
        None where the data set came without a split.
    """
    splits = [image.listed.published_split for image in images]
    if not any(splits):
        return None
    part = test_part(splits)
    test = [n for n, split in enumerate(splits) if split == part]

    def shared(other: Split) -> tuple[int, int]:
        """Return the numbers of test images with the pixels, and in a group, of another part's images."""
        there = [n for n, split in enumerate(splits) if split == other and other != part]
        pixels, named = {images[n].pixels_sha256 for n in there}, {groups[n] for n in there}
        return sum(images[n].pixels_sha256 in pixels for n in test), sum(groups[n] in named for n in test)

    (copies, grouped), (val_copies, val_grouped) = shared("train"), shared("val")
    return PublishedLeaks(
        test_images=len(test), copies=copies, grouped=grouped, val_copies=val_copies, val_grouped=val_grouped
    )


def _val_leaks(leaks: PublishedLeaks) -> str:
    """Return the end of a sentence on leaks that tells those between test and validation; empty without any."""
    if not (leaks.val_copies or leaks.val_grouped):
        return ""
    return f", {leaks.val_copies} are copies of a validation image and {leaks.val_grouped} share a group with one"


def leak_notes(leaks: PublishedLeaks | None) -> tuple[DataNote, ...]:
    """Return notes on the leaks of the published split; none where it has none."""
    if leaks is None or not leaks.found:
        return ()
    text = (
        f"the split that the data set came with leaks: of {counted(leaks.test_images, 'test image')} {leaks.copies} are "
        f"copies of a training image and {leaks.grouped} share a group with one{_val_leaks(leaks)}; --no-published-split "
        "deals a new one by whole groups"
    )
    return (note("W_SPLIT_LEAKS", text),)
