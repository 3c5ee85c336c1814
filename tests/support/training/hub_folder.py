"""A network as hubs hold it: its weights, and the settings by which timm makes it."""

from __future__ import annotations

import json
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

MODEL = "test_resnet"


def write_hub_folder(folder: Path, seed: int, classes: int = 2) -> str:
    """Write a toy network with the random weights of a seed, in place of what is there; return its name for timm."""
    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    save_file(timm.create_model(MODEL, num_classes=classes).state_dict(), folder / "model.safetensors")
    settings = {"architecture": MODEL, "num_classes": classes, "pretrained_cfg": {"classifier": "fc"}}
    (folder / "config.json").write_text(json.dumps(settings))
    return f"local-dir:{folder}"
