"""What two choices of the training loop are worth on a CPU: ``python benchmarks/bench_training.py``.

Channels last against channels first, step by step in turns in one process; and threads that wait without spinning against
threads that spin, each in a process of its own with a second training process beside it. Appends one line to
results/training.jsonl.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODEL, SIDE, BATCH = "mobilenetv2_100", 128, 32
ROUNDS = 12
SHARED_STEPS = 6


def steps_ns(formats: list[str], rounds: int) -> dict[str, list[int]]:
    """Time single gradient steps, one of each format in turn; the first of each is not counted."""
    import timm
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    layouts = {"channels_first": torch.contiguous_format, "channels_last": torch.channels_last}
    images, runs = torch.randn(BATCH, 3, SIDE, SIDE), {}
    for name in formats:
        model = timm.create_model(MODEL, num_classes=4).to(memory_format=layouts[name]).train()
        runs[name] = (model, torch.optim.AdamW(model.parameters()))
    times: dict[str, list[int]] = {name: [] for name in formats}
    for round_ in range(rounds + 1):
        for name, (model, optimizer) in runs.items():
            start_ns = time.monotonic_ns()
            optimizer.zero_grad()
            model(images).logsumexp(1).sum().backward()
            optimizer.step()
            if round_:
                times[name].append(time.monotonic_ns() - start_ns)
    return times


def beside_another(policy: str) -> list[int]:
    """Time steps in a process that waits as ``policy`` says, with another process training beside it for as long."""
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    here = str(Path(__file__).resolve())
    other = subprocess.Popen([sys.executable, here, "endless"], env=environment)
    try:
        time.sleep(10)
        done = subprocess.run([sys.executable, here, "steps"], env=environment, capture_output=True, text=True, check=True)
    finally:
        other.kill()
        other.wait()
    samples: list[int] = json.loads(done.stdout)
    return samples


def main() -> None:
    if sys.argv[1:] == ["endless"]:
        while True:
            steps_ns(["channels_last"], 100)
    if sys.argv[1:] == ["steps"]:
        print(json.dumps(steps_ns(["channels_last"], SHARED_STEPS)["channels_last"]))
        return
    from record import append

    times = steps_ns(["channels_first", "channels_last"], ROUNDS)
    times["shared_spinning"] = beside_another("active")
    times["shared_passive"] = beside_another("passive")
    medians = {name: statistics.median(samples) for name, samples in times.items()}
    append(
        "training",
        f"one gradient step of {MODEL} at {SIDE} px, batch {BATCH}, in FP32",
        times,
        ["torch", "timm"],
        ratio_channels_last=round(medians["channels_first"] / medians["channels_last"], 3),
        ratio_passive_when_shared=round(medians["shared_spinning"] / medians["shared_passive"], 3),
    )


if __name__ == "__main__":
    main()
