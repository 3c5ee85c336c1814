"""Ultralytics' classifier: YOLO11n-cls trained by its own trainer, exported to OpenVINO int8, run by its own predictor.

It starts from nothing: its weights are downloaded from GitHub, which an offline machine cannot do, and it takes its own
networks alone, not the MobileNetV2 backbone that the others start from. Its row stands beside weckd-edge from nothing.
Ultralytics is AGPL-3.0: it is measured here, in an environment of its own, and never imported by this project.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_AUTOINSTALL", "false")
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_VERBOSE", "false")
os.environ.setdefault("YOLO_CONFIG_DIR", str(Path.cwd()))  # its settings lie in the job's folder, where a step is started

import numpy as np
from peers.job import Built, Frame, Job, Predict

DISTRIBUTIONS = ("ultralytics", "torch", "openvino", "nncf", "numpy")


def build(job: Job) -> Built:
    """Train for the job's time, export, and tell where that is."""
    from ultralytics import settings

    settings.update({"mlflow": False, "tensorboard": False, "sync": False})  # no logger that it finds may slow it down
    start = time.monotonic()
    trained = train(job)
    seconds = time.monotonic() - start
    deployed = export(trained, job)
    model = sorted(path for path in deployed.iterdir() if path.suffix in (".xml", ".bin"))
    folder = Path(job.folder).resolve()
    return Built(
        deployed=str(deployed.resolve().relative_to(folder)),
        network=tuple(str(path.resolve().relative_to(folder)) for path in model),
        training_seconds=seconds,
        steps=None,
        notes=("random weights: its own cannot be had offline, and it takes no other network's",),
    )


def open_deployed(job: Job, built: Built) -> Predict:
    """Open the exported network in Ultralytics' own predictor."""
    return classifier(Path(job.folder) / built.deployed, job)


def open_trained(job: Job, built: Built) -> Predict:
    """Open the network as it was trained."""
    return classifier(Path(job.folder) / "runs" / "train" / "weights" / "best.pt", job)


# user: all
def train(job: Job) -> Path:
    from ultralytics import YOLO

    model = YOLO("yolo11n-cls.yaml")
    model.train(
        data=job.data,
        imgsz=job.size,
        epochs=10_000,
        time=job.seconds / 3600,
        batch=32,
        device="cpu",
        workers=job.threads,
        seed=job.seed,
        pretrained=False,
        plots=False,
        project=str(Path(job.folder) / "runs"),
        name="train",
        exist_ok=True,
    )
    return Path(job.folder) / "runs" / "train" / "weights" / "best.pt"


def export(trained: Path, job: Job) -> Path:
    from ultralytics import YOLO

    return Path(YOLO(trained).export(format="openvino", quantize=8, data=job.data, imgsz=job.size))


def classifier(path: Path, job: Job) -> Predict:
    from ultralytics import YOLO

    model = YOLO(path, task="classify")

    def predict(frame: Frame) -> np.ndarray[Any, Any]:
        found = model.predict(np.ascontiguousarray(frame[:, :, ::-1]), imgsz=job.size, device="cpu", verbose=False)[0]
        scores = found.probs.data.numpy().astype(np.float64)
        return scores[[at for _, at in sorted((name, at) for at, name in found.names.items())]]

    return predict


# end of user
