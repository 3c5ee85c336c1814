"""The peers: which program, which environment, and where each network starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent / "programs"
OURS = "weckd_edge"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One way to make a classifier for a small device.

    Attributes:
        title: Name in the tables.
        program: Module in ``programs/``, with the requirements of its environment beside it, ``PROGRAM.txt``.
        uses_project: Whether its environment may look into the one that runs run.py, whose torch, timm and OpenVINO it would
            otherwise install again.
        pretrained: Whether the network starts from the pretrained backbone.
        network_of: Peer whose trained network it takes over, so that the two differ in the conversion alone.
        parts: Parts of programs that a user would have written: ``PROGRAM: PART``.
    """

    title: str
    program: str
    parts: tuple[str, ...]
    uses_project: bool = False
    pretrained: bool = True
    network_of: str | None = None
    requirements: str = ""

    @property
    def requirements_file(self) -> Path:
        """File of the requirements of its environment."""
        return PROGRAMS / f"{self.requirements or self.program}.txt"


ONNX = ("onnxruntime_static: onnx", "onnxruntime_static: predict")
"""What a user of ONNX Runtime writes around it."""

PEERS = {
    OURS: Peer(title="weckd-edge", program="weckd_edge_build", parts=("weckd_edge_build: all",), uses_project=True),
    "weckd_edge_from_nothing": Peer(
        title="weckd-edge, random weights",
        program="weckd_edge_build",
        parts=("weckd_edge_build: all",),
        uses_project=True,
        pretrained=False,
    ),
    "by_hand": Peer(
        title="by hand: timm, NNCF, OpenVINO",
        program="by_hand",
        parts=("by_hand: train", "by_hand: frames", "by_hand: convert"),
        uses_project=True,
    ),
    "timm_distillation": Peer(
        title="timm's distillation, NNCF, OpenVINO",
        program="timm_distillation",
        parts=("timm_distillation: distill", "by_hand: train", "by_hand: frames", "by_hand: convert"),
        uses_project=True,
        requirements="by_hand",
    ),
    "onnxruntime_static": Peer(
        title="by hand: timm, ONNX Runtime's static int8",
        program="onnxruntime_static",
        parts=(*ONNX, "onnxruntime_static: convert", "by_hand: train", "by_hand: frames"),
        uses_project=True,
        network_of="by_hand",
    ),
    "olive": Peer(
        title="by hand: timm, Olive",
        program="olive_quantize",
        parts=(*ONNX, "olive_quantize: convert", "by_hand: train", "by_hand: frames"),
        network_of="by_hand",
    ),
    "fastai": Peer(
        title="fastai, ONNX Runtime", program="fastai_learner", parts=("onnxruntime_static: onnx", "fastai_learner: all")
    ),
    "ultralytics_classify": Peer(
        title="Ultralytics YOLO11n-cls, random weights",
        program="ultralytics_classify",
        parts=("ultralytics_classify: all",),
        pretrained=False,
    ),
}
"""Every peer by its name, this project first: it is what the others are timed in turn with."""
