"""Find the split that a folder's name or a cell of a CSV stands for, by a rule over its words, not a list of names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from weckd_edge.artifacts import Split

Named = Split | Literal["unlabelled"]


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text, which keeps a long list easy to edit."""
    return frozenset(text.split())


WORDS: dict[str, Named] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "devel", "development", "eval", "tune"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "heldout"), "test"),
    **dict.fromkeys(("pred", "predict", "prediction", "predictions", "submission"), "unlabelled"),
    **dict.fromkeys(("unlabelled", "unlabeled", "unsup", "unsupervised"), "unlabelled"),
}
"""Words that mean a split; images that are to be predicted, or have no labels, are part of none."""

FILLERS = word_set(
    "set sets data dataset datasets image images img imgs photo photos picture pictures pic pics frame frames file files "
    "folder dir split splits sample samples subset part raw new final full all jpg jpeg png crop crops cropped resized "
    "resize original orig labelled labeled x v"
)
"""Words that add nothing to the name of a split or of a folder of images."""

_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


@dataclass(frozen=True, slots=True)
class SplitName:
    """Split that a name stands for, and its other words.

    Attributes:
        split: Split that one of its words means.
        rest: Other words, without those that add nothing, and without numbers.
    """

    split: Named
    rest: tuple[str, ...]


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case, separated at capitals, digits and other signs than letters."""
    return [word.lower() for word in _TOKEN.findall(name)]


@lru_cache(4096)
def is_filler(name: str) -> bool:
    """Tell whether a folder's name only says that images lie in it."""
    return all(word in FILLERS or word.isdecimal() for word in words_of(name))


@lru_cache(4096)
def split_name(name: str) -> SplitName | None:
    """Return the split that a name stands for; None where no word means one, or words mean different ones."""
    found: list[Named] = []
    rest = []
    for word in words_of(name):
        split = _meaning(word)
        if split is not None:
            found.append(split)
        elif word not in FILLERS and not word.isdecimal():
            rest.append(word)
    if found[:2] == ["train", "val"] and len(found) == 2:  # train_val: all images but those for the test
        return SplitName("train", tuple(rest))
    if len(set(found)) != 1:
        return None
    return SplitName(found[0], tuple(rest))


def split_of_cell(text: str) -> Split | None:
    """Return the split that a cell of a CSV names; None where it names none of the three."""
    name = split_name(text)
    return None if name is None or name.rest or name.split == "unlabelled" else name.split


def are_alike(names: Sequence[SplitName]) -> bool:
    """Tell whether names differ in the split alone, as ``seg_train`` and ``seg_test`` do."""
    return len({name.rest for name in names}) == 1


def _meaning(word: str) -> Named | None:
    if word in WORDS:
        return WORDS[word]
    for end in range(len(word) - 1, 2, -1):  # trainset, testimages
        if word[:end] in WORDS and word[end:] in FILLERS:
            return WORDS[word[:end]]
    return None
