"""The C library beside Python and OpenVINO alone: ``python benchmarks/bench_firmware.py BUNDLE [WHAT ...]``.

``WHAT`` is ``frames``, ``parts``, ``start``, ``sizes``, ``runtimes``, or nothing for all. The bundle is one for a CPU,
built here or elsewhere. Six figures, each a ratio within one run, a size, or this machine's own:

* end-to-end latency, C beside the Python runner (bar 1.05), rounds in turn, one processor thread;
* what guard, front end, network and decision take in C, for frames of 640x480 and of 1920x1080, and the whole beside the
  bare network (bar 1.25 for 640x480, 1 ms more for 1920x1080): its graph from ``network_input`` on, with the input ready;
* from the program's start to its first answer with a warm model cache, beside a C program that calls OpenVINO and checks
  nothing (bar 1.5), new processes in turn;
* the library's size, stripped (bar 200 kB);
* largest resident memory after some frames, beside OpenVINO's benchmark_app (bar 1.3) and beside that C program;
* with each runtime: program start to first answer (by the clock, and time of the processor), largest resident memory, and
  the bytes of the runtime's shared libraries that the process had mapped. They hold for the processor that the line names.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from record import append

from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.devices.runtime.backends.table import open_network
from weckd_edge.devices.runtime.input_guard import open_guard
from weckd_edge.devices.runtime.model_choice import choose_model

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.firmware.library import Built, build, missing

ROUNDS, FRAMES, STARTS = 15, 300, 15
CAMERA_SIZES = ((480, 640), (1080, 1920))


def main() -> None:
    reason = missing()
    if reason is not None:
        sys.exit(f"the C library cannot be built here: {reason}")
    bundle = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        built = build(folder / "build", "-DCMAKE_BUILD_TYPE=Release")
        frames = folder / "frames.raw"
        manifest = open_bundle(bundle).manifest
        # Frames of real ears: the guard rejects noise, which is then not classified.
        images = np.load(bundle / "selftest/frames.npy")[:8]
        frames.write_bytes(images.tobytes())
        taken, size = folder / "taken.raw", manifest.input.graph_shape[1:3]
        taken.write_bytes(np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8).tobytes())
        wanted = sys.argv[2:] or ["frames", "parts", "start", "sizes", "runtimes"]
        if "frames" in wanted:
            bench_frames(built, bundle, images, frames)
        if "parts" in wanted:
            bench_parts(built, bundle, folder)
        if "start" in wanted:
            bench_start(built, bundle, frames, (taken, size), folder / "cache")
        if "sizes" in wanted:
            bench_sizes(built, bundle, frames, (taken, size), folder)
        if "runtimes" in wanted:
            bench_runtimes(built, bundle, frames, folder / "kept")


def runner(built: Built, bundle: Path, backend: str, library: Path, *args: object) -> list[str]:
    """Return the command that runs the C library on a bundle; a frame that the guard rejects is classified all the same."""
    words = [built.folder / "tests/runner", bundle, "--backend", backend, "--library", library, "--ignore-guard", 1, *args]
    return [str(word) for word in words]


def command(built: Built, bundle: Path, *args: object) -> list[str]:
    """Return the command that runs the bundle's first model of OpenVINO."""
    return runner(built, bundle, "openvino", built.openvino, "--precision", openvino_model(bundle).precision, *args)


def openvino_model(bundle: Path) -> BuiltModel:
    """Return the bundle's first model of OpenVINO: the one that both C and Python run."""
    return next(model for model in open_bundle(bundle).manifest.models if model.backend == "openvino")


def xml_of(bundle: Path) -> Path:
    """Return the file of that model."""
    return bundle / next(ref.path for ref in openvino_model(bundle).files if ref.path.endswith((".xml", ".onnx")))


def bench_frames(built: Built, bundle: Path, images: np.ndarray, frames: Path) -> None:
    opened = open_bundle(bundle)
    choice = choose_model(opened, "openvino")
    python_runner = choice.open(opened.manifest.input, guard=open_guard(opened))
    batch = [np.ascontiguousarray(image[None]) for image in images]
    times_ns: dict[str, list[int]] = {"python": [], "c": [], "c, camera writes into the block": []}
    ratios: dict[str, list[float]] = {"c": [], "c, camera writes into the block": []}
    for _ in range(ROUNDS):
        for frame in batch * 3:
            python_runner.run(frame)
        python: list[int] = []
        for i in range(FRAMES):
            start_ns = time.monotonic_ns()
            python_runner.run(batch[i % len(batch)])
            python.append(time.monotonic_ns() - start_ns)
        times_ns["python"] += python
        for name, own in (("c", ()), ("c, camera writes into the block", ("own",))):
            done = subprocess.run(
                command(built, bundle, "bench", frames, FRAMES, *own), capture_output=True, text=True, check=True
            )
            samples = [int(word) for word in done.stdout.split()]
            times_ns[name] += samples
            ratios[name].append(statistics.median(samples) / statistics.median(python))
    python_runner.close()
    append(
        "firmware",
        f"end-to-end latency, {bundle.name}, {images.shape[2]}x{images.shape[1]}, one thread",
        times_ns,
        ["openvino", "numpy"],
        bar=1.05,
        ratio=round(statistics.median(ratios["c"]), 4),
        ratio_rounds=[round(ratio, 4) for ratio in ratios["c"]],
        ratio_own_buffer=round(statistics.median(ratios["c, camera writes into the block"]), 4),
    )


def bench_parts(built: Built, bundle: Path, folder: Path) -> None:
    manifest = open_bundle(bundle).manifest
    network = open_network("openvino", bundle / manifest.onnx.path, "network_input")
    random = np.random.default_rng(0)
    ready = random.integers(-128, 128, network.input_shape).astype(np.float32)
    files = {}
    for height, width in CAMERA_SIZES:
        files[height, width] = folder / f"{width}x{height}.raw"
        files[height, width].write_bytes(random.integers(0, 256, (4, height, width, 3), np.uint8).tobytes())
    times_ns: dict[str, list[int]] = {"bare network": []}
    for _ in range(ROUNDS):
        bare = []
        for _ in range(FRAMES):
            start_ns = time.monotonic_ns()
            network.run(ready)
            bare.append(time.monotonic_ns() - start_ns)
        times_ns["bare network"] += bare[FRAMES // 10 :]
        for (height, width), file in files.items():
            words = command(built, bundle, "--source", "1920x1080", "parts", file, FRAMES, width, height)
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            for name, _, times in (line.partition(" ") for line in done.stdout.splitlines()):
                times_ns.setdefault(f"{width}x{height}: {name}", []).extend(map(int, times.split()))
    network.close()
    medians = {name: statistics.median(times) for name, times in times_ns.items()}
    append(
        "firmware",
        f"parts of an answer in C, {bundle.name}, one thread",
        times_ns,
        ["openvino", "numpy"],
        bar=1.25,
        ratio=round(medians["640x480: whole"] / medians["bare network"], 4),
        ms_more_for_1920x1080=round((medians["1920x1080: whole"] - medians["640x480: whole"]) / 1e6, 4),
    )


def bench_start(built: Built, bundle: Path, frames: Path, graph: tuple[Path, tuple[int, ...]], cache: Path) -> None:
    xml, (taken, size) = xml_of(bundle), graph
    ours = command(built, bundle, "--cache", cache / "ours", "first", frames)
    bare = [built.folder / "tests/bare_openvino", xml, cache / "bare", taken, *size, 1, built.openvino]
    plain = [built.folder / "tests/bare_openvino", xml, "-", taken, *size, 1, built.openvino]
    commands = {
        "ours, warm cache": ours,
        "bare, warm cache": [str(word) for word in bare],
        "ours, no cache": command(built, bundle, "first", frames),
        "bare, no cache": [str(word) for word in plain],
    }
    for folder in ("ours", "bare"):
        (cache / folder).mkdir(parents=True)
    times_ns: dict[str, list[int]] = {name: [] for name in commands}
    for i in range(STARTS + 2):
        for name, words in commands.items():
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            if i >= 2:  # the first two fill the caches
                times_ns[name].append(int(done.stdout))
    medians = {name: statistics.median(samples) for name, samples in times_ns.items()}
    append(
        "firmware",
        f"program start to first answer, {bundle.name}, one thread",
        times_ns,
        ["openvino"],
        bar=1.5,
        ratio=round(medians["ours, warm cache"] / medians["bare, warm cache"], 4),
        ratio_no_cache=round(medians["ours, no cache"] / medians["bare, no cache"], 4),
    )


_USAGE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss * 1024, int((used.ru_utime + used.ru_stime) * 1e9))
sys.exit(done.returncode)
"""


def usage(words: list[str]) -> tuple[int, int]:
    """Return a command's largest resident memory in bytes and its processor time in nanoseconds.

    It is started by a small process: a child begins with its parent's memory.
    """
    done = subprocess.run([sys.executable, "-S", "-c", _USAGE, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words[0]} left with {done.returncode}")
    peak_bytes, processor_ns = map(int, done.stdout.split())
    return peak_bytes, processor_ns


def bench_sizes(built: Built, bundle: Path, frames: Path, graph: tuple[Path, tuple[int, ...]], folder: Path) -> None:
    stripped = folder / "stripped.so"
    subprocess.run(["strip", "-o", stripped, built.folder / "libweckd_edge.so"], check=True)
    xml, (taken, size) = xml_of(bundle), graph
    app = [
        "env",
        "CI=true",  # it reports to its maker otherwise
        Path(sys.executable).with_name("benchmark_app"),
        "-m",
        xml,
        "-d",
        "CPU",
        "-hint",
        "none",
        "-nstreams",
        1,
        "-nthreads",
        1,
        "-niter",
        50,
    ]
    bare = [built.folder / "tests/bare_openvino", xml, "-", taken, *size, 50, built.openvino]
    commands = {
        "ours": command(built, bundle, "bench", frames, 50),
        "benchmark_app": [str(word) for word in app],
        "bare": [str(word) for word in bare],
    }
    peaks: dict[str, list[int]] = {name: [] for name in commands}
    start_ns = time.monotonic_ns()
    for _ in range(5):
        for name, words in commands.items():
            peaks[name].append(usage(words)[0])
    medians = {name: statistics.median(values) for name, values in peaks.items()}
    append(
        "firmware",
        f"sizes, {bundle.name}",
        {"in all": [time.monotonic_ns() - start_ns] * 2},
        ["openvino"],
        library_bytes=stripped.stat().st_size,
        library_bar_bytes=200_000,
        peak_resident_bytes=peaks,
        ratio_to_benchmark_app=round(medians["ours"] / medians["benchmark_app"], 4),
        ratio_to_benchmark_app_bar=1.3,
        ratio_to_bare=round(medians["ours"] / medians["bare"], 4),
    )


def runtime_libraries(built: Built) -> dict[str, Path]:
    """Return the library that is loaded for each runtime which is installed here."""
    found = {"openvino": built.openvino}
    spec = find_spec("onnxruntime")
    if spec is not None and spec.origin is not None:
        found["onnxruntime"] = next(iter(Path(spec.origin).parent.glob("capi/libonnxruntime.so*")), None)
    return {name: path for name, path in found.items() if path is not None}


def mapped_bytes(words: list[str], folder: Path) -> dict[str, int]:
    """Return the sizes of the libraries below a folder that a running command has mapped."""
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.read(1)  # it answers: all is loaded
    mapped = {Path(line.split()[-1]) for line in Path(f"/proc/{running.pid}/maps").read_text().splitlines() if "/" in line}
    running.kill()
    running.wait()
    return {path.name: path.stat().st_size for path in sorted(mapped) if path.is_relative_to(folder)}


def bench_runtimes(built: Built, bundle: Path, frames: Path, cache: Path) -> None:
    cache.mkdir()
    libraries = runtime_libraries(built)
    words = {name: runner(built, bundle, name, path) for name, path in libraries.items()}
    words["openvino, warm cache"] = [*words["openvino"], "--cache", str(cache)]
    times_ns: dict[str, list[int]] = {name: [] for name in words}
    processor_ns: dict[str, list[int]] = {name: [] for name in words}
    peaks: dict[str, list[int]] = {name: [] for name in words}
    for i in range(STARTS + 2):
        for name, start in words.items():
            done = subprocess.run([*start, "first", frames], capture_output=True, text=True, check=True)
            used = usage([*start, "first", str(frames)])
            peak, _ = usage([*start, "bench", str(frames), "50"])
            if i >= 2:  # the first two bring the files into the page cache, and fill the cache of compiled models
                times_ns[name].append(int(done.stdout))
                processor_ns[name].append(used[1])
                peaks[name].append(peak)
    append(
        "firmware",
        f"start and memory with each runtime, {bundle.name}, one thread, files in the page cache",
        times_ns,
        ["openvino", "onnxruntime"],
        fastest_ns={name: min(samples) for name, samples in times_ns.items()},
        processor_ns={name: int(statistics.median(values)) for name, values in processor_ns.items()},
        peak_resident_bytes={name: int(statistics.median(values)) for name, values in peaks.items()},
        libraries_bytes={
            name: mapped_bytes([*words[name], "bench", str(frames), "10000000"], path.resolve().parent)
            for name, path in libraries.items()
        },
    )


if __name__ == "__main__":
    main()
