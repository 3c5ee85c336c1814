"""fastai's ``vision_learner`` on the same timm backbone, ``fine_tune`` with its defaults, ONNX, and ONNX Runtime.

``vision_learner`` takes a timm network by its name, and keyword arguments for it; the backbone's weights are loaded after.
Input and augmentation are those of fastai's documentation: ``Resize`` to a larger picture, ``aug_transforms`` to the size.
fastai has no quantization for processors, so float32 is what is deployed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from peers.job import Built, Frame, Job, Predict
from peers.programs.onnxruntime_static import export, open_session

DISTRIBUTIONS = ("fastai", "timm", "torch", "onnx", "onnxruntime", "opencv-python-headless", "numpy")
SHORTEST = 2


def build(job: Job) -> Built:
    """Fine-tune for the job's time, export, and tell where that is."""
    import torch

    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    start = time.monotonic()
    epochs = epochs_of(job)
    planning = time.monotonic() - start
    start = time.monotonic()
    learner = train(job, epochs)
    seconds = time.monotonic() - start
    steps = (epochs + 1) * len(learner.dls.train)
    learner.export(Path(job.folder) / "learner.pkl")
    export(with_probabilities(learner), job, Path(job.folder) / "deployed" / "model.onnx")
    return Built(
        deployed="deployed",
        network=("deployed/model.onnx",),
        training_seconds=seconds,
        steps=steps,
        planning_seconds=planning,
        notes=("float32, as fastai has no quantization for processors",),
    )


def epochs_of(job: Job) -> int:
    """Return how many epochs fit into the job's time, by the time that two of them take."""
    start = time.monotonic()
    train(job, 1)
    one = time.monotonic() - start
    start = time.monotonic()
    train(job, SHORTEST + 1)
    epoch = (time.monotonic() - start - one) / SHORTEST
    return max(1, 1 + int((job.seconds - one) / max(epoch, 1e-3)))


def open_deployed(job: Job, built: Built) -> Predict:
    """Open the exported network in ONNX Runtime."""
    return FastaiClassifier(Path(job.folder) / built.deployed / "model.onnx", job.size)


def open_trained(job: Job, built: Built) -> Predict:
    """Open the learner as it was trained."""
    from fastai.learner import load_learner

    learner = load_learner(Path(job.folder) / "learner.pkl")

    def predict(frame: Frame) -> np.ndarray[Any, Any]:
        with learner.no_bar():
            found: np.ndarray[Any, Any] = learner.predict(frame)[2].numpy().astype(np.float64)
        return found

    return predict


# user: all
def train(job: Job, epochs: int) -> Any:
    from fastai.vision.all import ImageDataLoaders, Normalize, Resize, accuracy, aug_transforms, vision_learner
    from safetensors.torch import load_file

    images = len(list((Path(job.data) / "train").glob("*/*")))
    loaders = ImageDataLoaders.from_folder(
        job.data,
        train="train",
        valid="val",
        vocab=list(job.labels),
        item_tfms=Resize(round(job.size * 4 / 3)),
        batch_tfms=[*aug_transforms(size=job.size), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
        bs=min(32, images),
        num_workers=job.threads,
        seed=job.seed,
    )
    learner = vision_learner(
        loaders, "mobilenetv2_035", pretrained=False, normalize=False, metrics=accuracy, pad_type="same", bn_eps=1e-3
    )
    learner.model[0].model.load_state_dict(load_file(job.weights))
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
    return learner


def with_probabilities(learner: Any) -> Any:
    import torch

    return torch.nn.Sequential(learner.model, torch.nn.Softmax(1))


class FastaiClassifier:
    def __init__(self, path: Path, size: int) -> None:
        self.session, self.size = open_session(path), size

    def __call__(self, frame: Frame) -> np.ndarray[Any, Any]:
        import cv2

        side = min(frame.shape[:2])
        top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
        square = frame[top : top + side, left : left + side]
        shrinks = cv2.INTER_AREA if side > self.size else cv2.INTER_CUBIC
        pixels = cv2.resize(square, (self.size, self.size), interpolation=shrinks).astype(np.float32) / 127.5 - 1
        return self.session.run(None, {"input": np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])})[0][0]


# end of user
