"""Outputs of a teacher from outside for images, computed once and kept: the mean over a few views of each image.

The mean of a linear classifier's outputs over views is its output for the mean of the features, so that the features' mean
is all that has to be kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec
from weckd_edge.core.errors import ModelError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace
from weckd_edge.core.stored_array import array_stage, read_array
from weckd_edge.train.data.pixel_cache import CachedImages, CachePlan
from weckd_edge.train.distill.loop.augmentation import Pictures, Views, apply_views, draw_views
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.training_cost import metered, needs

BATCH = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShownImages:
    """Images that a teacher is shown.

    Attributes:
        digests: SHA-256 of each image's pixels, in order.
        spec: Camera frame that they are fitted to, with its crop and resize.
        places: Number of places that each image is cached at, which random views depend on.
        pictures: Function from a size of input to the images as they are cached for it, some at a time, in order.
    """

    digests: Sequence[str]
    spec: FrameSpec
    places: int
    pictures: Callable[[int], Iterator[Pictures]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherViews:
    """Views of an image, over which a teacher's outputs are averaged.

    Attributes:
        count: Number of views: the image, its mirror image, then random views.
        strength: Strength of the random views, as in training; 0 leaves the image alone.
        seed: Seed of the random views.
    """

    count: int
    strength: float
    seed: int

    def draw(self, number: int, images: int, generator: torch.Generator) -> Views:
        """Return one of the views of a number of images, by its number from 0."""
        if number > 1:
            return draw_views(images, self.strength, generator)
        views = draw_views(images, 0.0, generator)
        if number == 1:
            views.affine[:, :, 0] *= -1
        return views

    @property
    def used(self) -> int:
        """Number of views that differ: one where training mirrors no image either."""
        return self.count if self.strength else 1


def teacher_outputs(
    workspace: Workspace,
    teacher: OutsideTeacher,
    images: ShownImages,
    views: TeacherViews,
    labels: tuple[str, ...] | None,
    progress: Progress,
) -> Floats:
    """Return a teacher's outputs for images ``[N, D]``, from the store where an earlier run has computed them.

    Args:
        workspace: The store.
        teacher: The teacher.
        images: Images, which it is shown in its own size.
        views: Views that the mean is taken over.
        labels: Class names, for the probabilities of its own classifier; None for its features.
        progress: Receiver of the progress.

    Raises:
        ModelError: The teacher gives values that are not numbers.
    """

    def make(folder: Path) -> Floats:
        with metered(folder):
            found = np.concatenate(list(_computed(teacher, images, views, labels, progress)))
        if not np.isfinite(found).all():
            raise ModelError(
                f"teacher {teacher.name}: gives values that are not numbers; are its mean and std right?",
                code="E_MODEL_NOT_FINITE",
            )
        return found

    inputs = {
        "teacher": teacher.identity,
        "input": teacher.input,
        "images": list(images.digests),
        "frame": [images.spec, images.places],
        "views": views,
        "labels": labels,
    }
    key = key_of(inputs, "weckd_edge.train.distill.outside.teacher_outputs", *teacher.modules)
    stage = array_stage(workspace, "teacher-outputs", key, make)
    needs(stage.folder)
    return read_array(stage.folder, stage.artifact.file)


def _computed(
    teacher: OutsideTeacher, images: ShownImages, views: TeacherViews, labels: tuple[str, ...] | None, progress: Progress
) -> Iterator[Floats]:
    """Yield the outputs of a few images after the other."""
    size = teacher.input.side
    generator = torch.Generator().manual_seed(views.seed)
    with progress.task(f"teacher {teacher.name}", len(images.digests)) as task:
        for cached in images.pictures(size):
            pictures, total = cached.to(teacher.device), torch.zeros(())
            for number in range(views.used):
                shown = apply_views(pictures, views.draw(number, len(pictures), generator).to(teacher.device), size)
                total = total + (teacher.features(shown) if labels is None else teacher.probabilities(shown, labels))
            task.advance(len(pictures))
            yield (total / views.used).float().cpu().numpy()


def pictures_of_cache(cached: CachedImages) -> Iterator[Pictures]:
    """Yield all images of a cache, ``BATCH`` at a time."""
    for start in range(0, len(cached.pixels), BATCH):
        yield Pictures(pixels=torch.from_numpy(cached.pixels[start : start + BATCH].copy()), span=cached.span)


def pictures_of_frames(frames: Iterable[NDArray[np.uint8]], plan: CachePlan, size: int) -> Iterator[Pictures]:
    """Yield decoded frames ``[1, H, W, 3]`` as they are cached for networks of one size, ``BATCH`` at a time."""
    coming = iter(frames)
    while batch := [plan.picture(torch.tensor(frame), size) for frame in itertools.islice(coming, BATCH)]:
        yield Pictures(pixels=torch.stack(batch), span=plan.span(size))
