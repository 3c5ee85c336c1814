"""Time of pruned networks in int8 against native ones: ``python benchmarks/bench_width.py``.

MobileNetV2-0.5, whole and pruned to widths in multiples of 8 channels, and MobileNetV2-0.35, which timm made narrow, at 96
pixels, with random weights: times do not depend on them. Each is quantized once and run by OpenVINO and by ONNX Runtime on
one core, end to end from a 256x192 frame, in turn with the others. Appends one line to results/width.jsonl.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from phantom_set import draw_set
from record import append

from weckd_edge.compile.quantize.quantize import ONNX_FILE
from weckd_edge.config import BuildConfig, InputConfig, LinkConfig
from weckd_edge.devices.bench.interleaved import time_interleaved
from weckd_edge.devices.runtime.frame_runner import open_frame_runner
from weckd_edge.pipeline.auto_chain import build_candidate

SIDE, ROUNDS = 96, 40
LINKS = (
    LinkConfig(model="mobilenetv2_050", input_size=SIDE),
    *(LinkConfig(model="mobilenetv2_050", input_size=SIDE, width=width) for width in (0.85, 0.7, 0.5)),
    LinkConfig(model="mobilenetv2_035", input_size=SIDE),
)
FILES = {"openvino": "model.xml", "onnxruntime": ONNX_FILE}


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        root = Path(place) / "phantoms"
        index = draw_set(root, images=100)
        config = BuildConfig(input=InputConfig(frame=(192, 256)))
        names, runners, macs, parameters = [], [], {}, {}
        for at, link in enumerate(LINKS):
            folder = Path(place) / str(at)
            made = build_candidate(link, index, root, config, folder)
            name = f"{link.model}x{link.width:g}"
            macs[name], parameters[name] = made.macs, made.parameters
            for backend, file in FILES.items():
                names.append(f"{backend} {name}")
                runners.append(open_frame_runner(backend, folder / "int8" / file, made.spec, threads=1))
                stack.callback(runners[-1].close)
        frame = np.random.default_rng(0).integers(0, 256, (1, 192, 256, 3), dtype=np.uint8)
        times = {
            name: timed.median_ns
            for name, timed in zip(names, time_interleaved(runners, [frame], rounds=ROUNDS), strict=True)
        }
    whole = f"{LINKS[0].model}x1"
    append(
        "width",
        "256x192 end-to-end latency in int8 at 96 px, one core, random weights; medians of rounds' fastest queries",
        {},
        ["openvino", "onnxruntime", "timm", "torch", "torch-pruning"],
        int8_ns=times,
        macs=macs,
        parameters=parameters,
        time_of_whole={name: round(times[name] / times[f"{name.split()[0]} {whole}"], 3) for name in times},
        macs_of_whole={name: round(count / macs[whole], 3) for name, count in macs.items()},
    )


if __name__ == "__main__":
    main()
