"""What a study keeps: what it is about, every run with its prediction of each test image, and the test images."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts import SCHEMA_VERSION, DatasetIndex
from weckd_edge.core.store import digest_of
from weckd_edge.train.data.folds import Fold

FACTS_FILE, SETTINGS_FILE, RUNS_FILE, HELD_OUT_FILE = "study.json", "settings.json", "trials.jsonl", "splits.jsonl"
"""Names of a study's files: what it is about, its settings, and, one in each line, its runs and the splits' test images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFacts:
    """What a study is about.

    Attributes:
        dataset: Name of the data set's folder.
        synthetic: Whether the data set is drawn.
        seeds: Number of seeds.
        folds: Number of folds of each seed; None where each seed drew one test split.
        strategies: Names of the strategies, in the order they were asked for.
        labelled_fraction: Part of the training images in one labelled subset, 0..1.
        schema_version: Schema version of this record.
    """

    dataset: str
    synthetic: bool
    seeds: int
    folds: int | None
    strategies: tuple[str, ...]
    labelled_fraction: float
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Test images of one seed and fold, in the order of every run's predictions.

    Numbers of images and groups count over the whole data set, so that they are the same for every seed and fold, and on
    every machine that has the same images.

    Attributes:
        seed: Seed of the split.
        fold: Number of the fold that is the test split, from 1; None where the seed drew a test split.
        data_sha256: SHA-256 of the data set's images with their labels and groups, whatever their order and split.
        images: Number of each test image, by the order of the SHA-256 of all images' pixels.
        groups: Number of each image's group, by the order of all groups' names.
        truth: Class of each image, from 0.
        schema_version: Schema version of this record.
    """

    seed: int
    fold: int | None
    data_sha256: str
    images: tuple[int, ...]
    groups: tuple[int, ...]
    truth: tuple[int, ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun:
    """Result of one strategy with one seed, and fold.

    Attributes:
        strategy: Name of the strategy.
        seed: Seed of the split; with folds, every fold has other labelled subsets, weights and batches besides.
        fold: Number of the fold that was the test split, from 1; None where the seed drew a test split.
        accuracy: Accuracy of the last link on the test groups, 0..1.
        correct: Number of test images that it predicts rightly.
        test_images: Number of test images.
        test_groups: Number of groups among them.
        predicted: Class that every link predicts of each test image; links in order, images as in ``HeldOut``.
        links_accuracy: Accuracy of every link, in order, 0..1.
        labels_used: Number of distinct training images whose label any link saw.
        images_used: Number of distinct training images that the last link saw.
        steps: Number of gradient steps of all links.
        seconds: Wall time of training all links, also those that another strategy had trained alike before.
        cpu_seconds: Processor time of that training, seconds.
        joules: Energy of that training; None where the machine does not report it.
        schema_version: Schema version of this record.
    """

    strategy: str
    seed: int
    fold: int | None = None
    accuracy: float
    correct: int
    test_images: int
    test_groups: int
    predicted: tuple[tuple[int, ...], ...]
    links_accuracy: tuple[float, ...]
    labels_used: int
    images_used: int
    steps: int
    seconds: float
    cpu_seconds: float
    joules: float | None
    schema_version: int = SCHEMA_VERSION


def held_out_of(index: DatasetIndex, seed: int, fold: Fold | None) -> HeldOut:
    """Return the test images of a data set's index, which was made for a seed and fold."""
    images = {digest: number for number, digest in enumerate(sorted({r.pixels_sha256 for r in index.images}))}
    groups = {name: number for number, name in enumerate(sorted({r.group for r in index.images}))}
    test = index.split("test")
    return HeldOut(
        seed=seed,
        fold=fold.number if fold else None,
        data_sha256=digest_of(sorted((r.pixels_sha256, r.label, r.group) for r in index.images)),
        images=tuple(images[r.pixels_sha256] for r in test),
        groups=tuple(groups[r.group] for r in test),
        truth=tuple(r.label for r in test),
    )
