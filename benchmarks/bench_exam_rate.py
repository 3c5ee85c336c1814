"""Rate of examinations: ``python benchmarks/bench_exam_rate.py [--minutes N]``.

A video of 640x480, H.264, 30 frames a second, drawn eardrums over which the camera moves. A network of random weights (they
do not matter to time), int8, OpenVINO, one thread. In one process, in turns of 300 frames each, of which the first do not
count:

- ``memory``: frames that lie decoded in memory are shown to an examination: what ``bench`` promises;
- ``video``: the video's next frames, which a thread decodes, are shown to it.

Says how many frames a second the video reaches of those from memory: the median of the ratios within each turn. Beside it
stand the processor times of the thread that predicts. The process's memory is read at each turn. On a machine that others
use too, ``chrt --rr 10 python ...`` keeps them off the cores. Appends one line to results/exam_rate.jsonl.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from bench_frame import build, input_of, open_predictor
from phantom_set import draw_set
from PIL import Image
from record import append

from weckd_edge.artifacts import ExamRule
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.native.library import describe_library
from weckd_edge.devices.runtime.exam import Exam
from weckd_edge.devices.video.base import TimedFrame
from weckd_edge.devices.video.pyav_backend import open_video
from weckd_edge.devices.video.reading_thread import ThreadSource

MODEL, SIDE, SIZE = "mobilenetv2_035", 128, (480, 640)
RATE, TURN, WARMUP = 30, 300, 2
RULE = ExamRule(confidence_threshold=1.0, max_frames=65535)
"""A rule that counts every frame and has never seen enough."""


def write_video(path: Path, pictures: list[Path], minutes: int) -> None:
    """Encode a minute, and write it as often as there are minutes."""
    av: Any = require("av", "write a video")
    views = [np.asarray(Image.open(one).convert("RGB").resize((SIZE[1] + 60, SIZE[0] + 60))) for one in pictures]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        packets = []
        for number in range(60 * RATE):
            view, at = views[number // RATE % len(views)], number % 60
            pixels = np.ascontiguousarray(view[at : at + SIZE[0], at : at + SIZE[1]])
            picture = av.VideoFrame.from_ndarray(pixels, "rgb24")
            picture.pts = number
            packets += [(bytes(one), one.pts, one.dts, one.is_keyframe) for one in stream.encode(picture)]
        packets += [(bytes(one), one.pts, one.dts, one.is_keyframe) for one in stream.encode()]
        for minute in range(minutes):
            for data, pts, dts, is_keyframe in packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, stream.codec_context.time_base
                packet.pts, packet.dts = pts + minute * 60 * RATE, dts + minute * 60 * RATE
                packet.is_keyframe = is_keyframe
                container.mux(packet)


def resident_kb() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def show(exam: Exam, frames: Iterator[TimedFrame]) -> tuple[int, int, int]:
    """Show a turn's frames; return their number, the time and this thread's processor time, nanoseconds."""
    start_ns, start_cpu_ns, shown = time.monotonic_ns(), time.thread_time_ns(), 0
    for frame in frames:
        exam.add(frame.frame, frame.time_ns)
        shown += 1
        if shown == TURN:
            break
    return shown, time.monotonic_ns() - start_ns, time.thread_time_ns() - start_cpu_ns


def main() -> None:
    minutes = int(sys.argv[2]) if sys.argv[1:2] == ["--minutes"] else 10
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        index = draw_set(folder / "images", 200)
        spec = input_of(SIDE, SIZE)
        predictor = open_predictor(build(MODEL, spec, (folder / "images", index), folder / "network"), spec, index.labels)
        film = folder / "exam.mp4"
        write_video(film, [folder / "images" / one.path for one in index.images[:8]], minutes)
        times: dict[str, list[int]] = {"memory": [], "video": []}
        cpu: dict[str, list[int]] = {"memory": [], "video": []}
        memory = []
        with closing(open_video(film)) as source:
            held = [frame for frame, _ in zip(source.frames(), range(TURN), strict=False)]
        with closing(ThreadSource(lambda: open_video(film), "exam")) as source:
            frames, turn = source.frames(), 0
            while True:
                for name, given in (("memory", iter(held)), ("video", frames)):
                    shown, took_ns, cpu_ns = show(Exam(predictor, RULE), given)
                    if turn >= WARMUP and shown == TURN:
                        times[name].append(took_ns // TURN)
                        cpu[name].append(cpu_ns // TURN)
                memory.append(resident_kb())
                if shown < TURN:
                    break
                turn += 1
            lost = source.lost
    turns = zip(times["memory"], times["video"], strict=False)
    append(
        "exam_rate",
        f"{minutes} minutes of 640x480 H.264, {MODEL} at {SIDE}, time of a frame",
        times,
        ["av", "openvino", "numpy"],
        library=describe_library(),
        rate_of_memory=round(statistics.median(one / other for one, other in turns), 3),
        thread_time_ns={name: statistics.median(values) for name, values in cpu.items()},
        resident_kb=memory,
        lost=[lost.dropped, lost.damaged, lost.end],
    )
    predictor.runner.close()


if __name__ == "__main__":
    main()
