"""The network of ``by_hand``, quantized by ONNX Runtime's ``quantize_static`` with its defaults, and run by ONNX Runtime.

The trained network is taken over from by_hand's piece on the same images, so that the two differ in the conversion alone;
its training counts into the time from folder to artefact. The graph is pre-processed first, as ONNX Runtime's documentation
asks.

It needs what by_hand needs and ONNX Runtime, which this project's own environment has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from peers.job import Built, Frame, Job, Predict, read_built
from peers.programs import by_hand
from peers.programs.by_hand import preprocess, softmax

DISTRIBUTIONS = ("timm", "torch", "onnx", "onnxruntime", "opencv-python-headless", "numpy")


def build(job: Job) -> Built:
    """Convert by_hand's network to int8, and tell where that is."""
    folder = Path(job.folder)
    convert(by_hand.trained_network(job, job.network), job, folder / "deployed")
    return taken_over(job, deployed="deployed", network=("deployed/model.onnx",))


def taken_over(job: Job, *, deployed: str, network: tuple[str, ...], notes: tuple[str, ...] = ()) -> Built:
    """Return what was built from another peer's network, with the time of its training."""
    before = read_built(Path(str(job.network)) / "built.json")
    return Built(
        deployed=deployed,
        network=network,
        training_seconds=before.training_seconds,
        steps=before.steps,
        seconds_before=before.training_seconds,
        notes=("the trained network is that of `by_hand`", *notes),
    )


def open_deployed(job: Job, built: Built) -> Predict:
    """Open the int8 network in ONNX Runtime."""
    return OnnxClassifier(Path(job.folder) / built.deployed / "model.onnx", job.size)


def open_trained(job: Job, built: Built) -> Predict:
    """Open by_hand's network as it was trained."""
    return by_hand.TimmClassifier(by_hand.trained_network(job, job.network), job.size)


# user: onnx
def export(network: Any, job: Job, path: Path) -> None:
    import torch

    example = torch.zeros(1, 3, job.size, job.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(network.eval(), (example,), path, input_names=["input"], opset_version=17, dynamo=False)


def open_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# end of user


# user: predict
class OnnxClassifier:
    def __init__(self, path: Path, size: int) -> None:
        self.session, self.size = open_session(path), size

    def __call__(self, frame: Frame) -> np.ndarray[Any, Any]:
        return softmax(self.session.run(None, {"input": preprocess(frame, self.size)})[0][0])


# end of user


# user: convert
class TrainingImages:
    def __init__(self, job: Job) -> None:
        self.rows: Iterator[dict[str, Any]] = (
            {"input": by_hand.read_for_network(path, job.size)} for path in by_hand.training_images(job)[:300]
        )

    def get_next(self) -> dict[str, Any] | None:
        return next(self.rows, None)


def convert(network: Any, job: Job, folder: Path) -> None:
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, ready = folder.parent / "float.onnx", folder.parent / "ready.onnx"
    export(network, job, plain)
    quant_pre_process(plain, ready)
    folder.mkdir(exist_ok=True)
    quantize_static(ready, folder / "model.onnx", TrainingImages(job))


# end of user
