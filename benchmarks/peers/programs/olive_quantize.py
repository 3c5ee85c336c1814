"""The network of ``by_hand``, quantized by Olive's static pass with its defaults, and run by ONNX Runtime.

Olive has no recipe that trains an image classifier; what it offers for one is the conversion. So it takes over by_hand's
trained network, as onnxruntime_static.py does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OLIVE_DISABLE_TELEMETRY", "1")

from peers.job import Built, Job
from peers.programs import by_hand
from peers.programs.onnxruntime_static import export, open_deployed, open_trained, taken_over

__all__ = ["DISTRIBUTIONS", "build", "open_deployed", "open_trained"]

DISTRIBUTIONS = ("olive-ai", "timm", "torch", "onnx", "onnxruntime", "opencv-python-headless", "numpy")


def build(job: Job) -> Built:
    """Convert by_hand's network to int8, and tell where that is."""
    convert(by_hand.trained_network(job, job.network), job, Path(job.folder) / "deployed")
    return taken_over(job, deployed="deployed", network=("deployed/model.onnx",))


# user: convert
def convert(network: Any, job: Job, folder: Path) -> None:
    import shutil

    import torch
    from olive.data.registry import Registry
    from olive.workflows import run

    @Registry.register_dataset("training_images")
    def training_images(**_: Any) -> Any:
        class Images(torch.utils.data.Dataset):  # type: ignore[misc,type-arg]
            paths = by_hand.training_images(job)[:300]

            def __len__(self) -> int:
                return len(self.paths)

            def __getitem__(self, at: int) -> tuple[dict[str, Any], int]:
                return {"input": by_hand.read_for_network(self.paths[at], job.size)[0]}, 0

        return Images()

    plain = folder.parent / "float.onnx"
    export(network, job, plain)
    calibration = {"name": "calibration", "type": "DataContainer", "load_dataset_config": {"type": "training_images"}}
    settings = {
        "input_model": {"type": "ONNXModel", "model_path": str(plain)},
        "systems": {"here": {"type": "LocalSystem", "accelerators": [{"device": "cpu"}]}},
        "target": "here",
        "data_configs": [calibration],
        "passes": {"int8": {"type": "OnnxStaticQuantization", "data_config": "calibration"}},
        "output_dir": str(folder.parent / "olive"),
        "cache_dir": str(folder.parent / "olive-cache"),
        "log_severity_level": 2,
    }
    run(settings)
    folder.mkdir(exist_ok=True)
    shutil.copy(next((folder.parent / "olive").rglob("*.onnx")), folder / "model.onnx")


# end of user
