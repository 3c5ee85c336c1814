"""By hand, as most teams do: fine-tuning with timm, int8 by NNCF's defaults, OpenVINO, and OpenCV and NumPy before it.

The training follows the defaults of timm's own training script: its loader and augmentation, SGD with momentum at a learning
rate of 0.1 for 256 images, one cosine, label smoothing of 0.1, and the averaged weights that its documentation advises
(``--model-ema --model-ema-warmup``). The batch is 32, as the smallest of these sets hold fewer images than its 128. The
weights that do best on the validation images are kept, as its checkpoint saver does.

It needs timm, torch, NNCF and OpenVINO as this project's own environment has them, so its environment may look into that
one; OpenCV comes on top.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from peers.job import Built, Frame, Job, Predict

DISTRIBUTIONS = ("timm", "torch", "nncf", "openvino", "opencv-python-headless", "numpy")
MODEL = "mobilenetv2_035"
BATCH = 32
EVALUATIONS = 10
"""Number of times that the validation images are predicted during a training."""
WEIGHTS = "network.pt"
WARM_UP, TIMED = 3, 8
"""Number of steps before the first that is timed, and of those that are."""


def build(job: Job) -> Built:
    """Train, convert to int8, and tell where that is."""
    import torch

    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    task = classification_task(create_network(job))
    steps, planning = plan_steps(task, job, job.size, job.seconds)
    start = time.monotonic()
    network = fine_tune(task, job, job.size, steps)
    seconds = time.monotonic() - start
    torch.save(network.state_dict(), Path(job.folder) / WEIGHTS)
    convert(network, job, Path(job.folder) / "deployed")
    return Built(
        deployed="deployed",
        network=("deployed/model.xml", "deployed/model.bin"),
        training_seconds=seconds,
        steps=steps,
        planning_seconds=planning,
    )


def open_deployed(job: Job, built: Built) -> Predict:
    """Open the int8 network in OpenVINO."""
    return OpenVinoClassifier(Path(job.folder) / built.deployed / "model.xml", job.size)


def open_trained(job: Job, built: Built) -> Predict:
    """Open the network as it was trained, with timm's own preprocessing."""
    return TimmClassifier(trained_network(job), job.size)


def trained_network(job: Job, folder: str | None = None) -> Any:
    """Return the network whose weights lie in a job's folder, or in another one."""
    import torch

    network = create_network(job)
    network.load_state_dict(torch.load(Path(folder or job.folder) / WEIGHTS, weights_only=True))
    return network.eval()


def plan_steps(task: Any, job: Job, size: int, seconds: float) -> tuple[int, float]:
    """Return how many steps of a training fit into a time, by the first steps of a copy, and how long that took."""
    began = time.monotonic()
    training, validation = make_loader(job, "train", size), make_loader(job, "val", size)
    accuracy(task.trainable_module, validation)  # starts the loader's processes, as a training does once
    start = time.monotonic()
    accuracy(task.trainable_module, validation)
    evaluation = time.monotonic() - start
    trial, batches = copy.deepcopy(task).train(), endless(training)
    optimizer = make_optimizer(trial.trainable_module)
    for at in range(WARM_UP + TIMED):
        if at == WARM_UP:
            start = time.monotonic()
        step(trial, optimizer, *next(batches))
    one = (time.monotonic() - start) / TIMED
    steps = int((seconds - 2 * EVALUATIONS * evaluation) / one)
    return max(EVALUATIONS, steps), time.monotonic() - began


# user: train
def create_network(job: Job) -> Any:
    import timm
    from safetensors.torch import load_file

    network = timm.create_model(MODEL, num_classes=len(job.labels), pad_type="same", bn_eps=1e-3)
    if job.weights is not None:
        network.load_state_dict(load_file(job.weights), strict=False)  # the classifier is new
    return network


def make_loader(job: Job, split: str, size: int) -> Any:
    import torch
    from timm.data import create_dataset, create_loader

    classes = {name: at for at, name in enumerate(job.labels)}
    dataset = create_dataset("", root=job.data, split=split, class_map=classes)
    training = split == "train"
    return create_loader(
        dataset,
        input_size=(3, size, size),
        batch_size=min(BATCH, len(dataset)),
        is_training=training,
        interpolation="random" if training else "bicubic",
        mean=MEAN,
        std=STD,
        crop_pct=CROP_PCT,
        num_workers=job.threads,
        device=torch.device("cpu"),
        use_prefetcher=False,
        use_multi_epochs_loader=True,
    )


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def classification_task(network: Any) -> Any:
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.task import ClassificationTask

    return ClassificationTask(network, criterion=LabelSmoothingCrossEntropy(0.1), verbose=False)


def step(task: Any, optimizer: Any, images: Any, labels: Any) -> None:
    optimizer.zero_grad()
    task(images, labels)["loss"].backward()
    optimizer.step()


def accuracy(network: Any, loader: Any) -> float:
    import torch

    network.eval()
    with torch.inference_mode():
        right = [(network(images).argmax(1) == labels).float() for images, labels in loader]
    return float(torch.cat(right).mean())


def make_optimizer(network: Any) -> Any:
    from timm.optim import create_optimizer_v2

    return create_optimizer_v2(network, opt="sgd", lr=0.1 * BATCH / 256, momentum=0.9, weight_decay=2e-5)


def fine_tune(task: Any, job: Job, size: int, steps: int) -> Any:
    from timm.scheduler import create_scheduler_v2

    training, validation = make_loader(job, "train", size), make_loader(job, "val", size)
    batches = endless(training)
    optimizer = make_optimizer(task.trainable_module)
    scheduler, _ = create_scheduler_v2(
        optimizer,
        "cosine",
        num_epochs=steps,
        warmup_epochs=min(5 * len(training), steps // 10),
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    average = task.setup_ema(decay=0.9998, use_warmup=True)
    best, found = task.trainable_module, -1.0
    for at in range(1, steps + 1):
        task.train()
        step(task, optimizer, *next(batches))
        task.update_ema(step=at)
        scheduler.step_update(at)
        if at % (steps // EVALUATIONS) == 0 or at == steps:
            for network in (task.trainable_module, average.module):
                score = accuracy(network, validation)
                if score >= found:
                    best, found = copy.deepcopy(network), score
    return best.eval()


# end of user


# user: frames
MEAN = STD = (0.5, 0.5, 0.5)
CROP_PCT = 0.875


def preprocess(frame: Frame, size: int) -> np.ndarray[Any, Any]:
    import cv2

    height, width = frame.shape[:2]
    scale = round(size / CROP_PCT) / min(height, width)
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    frame = cv2.resize(frame, (max(size, round(width * scale)), max(size, round(height * scale))), interpolation=shrinks)
    top, left = (frame.shape[0] - size) // 2, (frame.shape[1] - size) // 2
    pixels = frame[top : top + size, left : left + size].astype(np.float32) / 255
    return np.ascontiguousarray(((pixels - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)[None])


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    raised = np.exp(logits.astype(np.float64) - logits.max())
    return raised / raised.sum()


def training_images(job: Job) -> list[Path]:
    paths = sorted((Path(job.data) / "train").glob("*/*"))
    random.Random(job.seed).shuffle(paths)
    return paths


def read_for_network(path: Path, size: int) -> np.ndarray[Any, Any]:
    import cv2

    return preprocess(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), size)


# end of user


# user: convert
class OpenVinoClassifier:
    def __init__(self, path: Path, size: int) -> None:
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
        self.network, self.size = openvino.Core().compile_model(path, "CPU", settings), size

    def __call__(self, frame: Frame) -> np.ndarray[Any, Any]:
        return softmax(self.network(preprocess(frame, self.size))[0][0])


def convert(network: Any, job: Job, folder: Path) -> None:
    import nncf
    import openvino
    import torch

    example = torch.zeros(1, 3, job.size, job.size)
    model = openvino.convert_model(network.eval(), example_input=example, input=[1, 3, job.size, job.size])
    dataset = nncf.Dataset(training_images(job), lambda path: read_for_network(path, job.size))
    openvino.save_model(nncf.quantize(model, dataset), folder / "model.xml")


# end of user


class TimmClassifier:
    """A network in torch, with timm's evaluation transform before it."""

    def __init__(self, network: Any, size: int) -> None:
        from timm.data import create_transform

        self.network = network.eval()
        self.transform = create_transform((3, size, size), interpolation="bicubic", mean=MEAN, std=STD, crop_pct=CROP_PCT)

    def __call__(self, frame: Frame) -> np.ndarray[Any, Any]:
        import torch
        from PIL import Image

        with torch.inference_mode():
            return softmax(self.network(self.transform(Image.fromarray(frame))[None])[0].numpy())
