"""Time of small networks in int8 on this processor: ``python benchmarks/bench_students.py``.

Every network is quantized, compiled by OpenVINO and timed in turn with the others, end to end from a 640x480 frame, on
one core, with random weights: times do not depend on them. The front is drawn against MACs, which stand for what a
network could learn; what it does learn on a data set is for ``weckd-edge study`` to say. Appends one line to
results/students.jsonl.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from phantom_set import draw_set
from record import append

from weckd_edge.config import BuildConfig, InputConfig, LinkConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.machine.detect import detect
from weckd_edge.pipeline.auto_chain import CANDIDATES, time_candidates

SIDE = 128
OTHERS = (
    "mobilenetv2_035",
    "mobilenetv2_050",
    "mobilenetv2_100",
    "mobilenetv3_small_050",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small_035",
    "mobilenetv4_conv_medium",
    "lcnet_035",
    "lcnet_075",
    "efficientnet_lite0",
    "tinynet_e",
    "resnet18",
    "repvgg_a0",
)


def main() -> None:
    torch.set_num_threads(1)
    links = [*CANDIDATES, *(LinkConfig(model=name, input_size=SIDE) for name in OTHERS)]
    known = dict.fromkeys((link.model, link.input_size) for link in links)
    candidates = [LinkConfig(model=model, input_size=size) for model, size in known]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "phantoms"
        index = draw_set(root, images=160)
        config = BuildConfig(input=InputConfig(frame=(480, 640)))
        ladder = time_candidates(index, root, config, SilentProgress(), candidates, host=detect().host)
    front = {(rung.link.model, rung.link.input_size) for rung in ladder.candidates}
    rungs = sorted((*ladder.candidates, *ladder.left_out), key=lambda rung: rung.int8_ns)
    print(f"{'network':30s} {'px':>4s} {'parameters':>11s} {'MACs':>8s} {'fp32':>9s} {'int8':>9s} {'gain':>5s}  front")
    for rung in rungs:
        mark = "*" if (rung.link.model, rung.link.input_size) in front else ""
        print(
            f"{rung.link.model:30s} {rung.link.input_size:4d} {rung.parameters:11,d} {rung.macs / 1e6:6.1f} M "
            f"{rung.fp32_ns / 1e6:6.3f} ms {rung.int8_ns / 1e6:6.3f} ms {rung.fp32_ns / rung.int8_ns:5.2f}  {mark}"
        )
    append(
        "students",
        "640x480 end-to-end latency, one core, OpenVINO, random weights; medians over rounds of a round's fastest query",
        {},
        ["openvino", "onnxruntime", "timm", "torch"],
        int8_ns={f"{rung.link.model}@{rung.link.input_size}": rung.int8_ns for rung in rungs},
        fp32_ns={f"{rung.link.model}@{rung.link.input_size}": rung.fp32_ns for rung in rungs},
        macs={f"{rung.link.model}@{rung.link.input_size}": rung.macs for rung in rungs},
        parameters={f"{rung.link.model}@{rung.link.input_size}": rung.parameters for rung in rungs},
        front=sorted(f"{model}@{size}" for model, size in front),
    )


if __name__ == "__main__":
    main()
