"""Small calibration networks are timed on this machine, so that the latency of others can be estimated for it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.bundle.reader import open_bundle
from weckd_edge.compile.cost.calibration_networks import RECIPES, NetworkRecipe, build_network
from weckd_edge.compile.cost.onnx_costs import count_onnx
from weckd_edge.compile.cost.openvino_ir_costs import count_ir
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, load_graph
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress
from weckd_edge.devices.bench.interleaved import summarize_rounds, time_in_rounds
from weckd_edge.devices.latency_model.counts import NetworkCounts, read_counts
from weckd_edge.devices.latency_model.measurements import TimedNetwork
from weckd_edge.devices.machine.detect import detect
from weckd_edge.devices.runtime.backends.table import find_backend, open_runner
from weckd_edge.devices.runtime.model_choice import read_model_bytes

BACKEND = "openvino"


def time_calibration_networks(
    progress: Progress,
    *,
    device: str | None = None,
    backend: str = BACKEND,
    threads: int = 1,
    rounds: int = 6,
    recipes: Sequence[NetworkRecipe] = RECIPES,
) -> tuple[TimedNetwork, ...]:
    """Build, quantize and time every calibration network in float32 and int8.

    Args:
        progress: Receiver of the progress.
        device: Profile that the latencies are recorded for; None takes the detected one.
        backend: Name of the backend that runs the networks; it must read ONNX.
        threads: Processor threads.
        rounds: Number of times that each network is timed, at least 3.
        recipes: The networks.

    Raises:
        ConfigError: No backend has that name, or there are too few rounds.
        MissingDependency: The extra ``compile`` or the backend's extra is not installed.
        ModelError: The backend refuses a network.
    """
    find_backend(backend)
    found = detect()
    reduce_range = bool(found.overflow_fix_needed)
    with TemporaryDirectory(prefix="weckd-") as place:
        with progress.task("build calibration networks", len(recipes)) as task:
            built = []
            for recipe in recipes:
                built += _build_network(recipe, Path(place), reduce_range)
                task.advance()
        medians = _time_networks(built, backend, threads, rounds, progress)
        version = _version(backend, built[0][1])
    timed = []
    for (recipe, _, counts), turns in zip(built, medians, strict=True):
        latency_ns, noise = summarize_rounds(turns)
        timed.append(
            TimedNetwork(
                device=device or found.profile,
                host=found.host,
                backend=backend,
                backend_version=version,
                threads=threads,
                precision=counts.precision,
                network=recipe.name,
                family=recipe.block,
                latency_ns=latency_ns,
                noise=round(noise, 4),
                counts=counts,
            )
        )
    return tuple(timed)


def count_file(path: Path, *, network_only: bool = False, key: Path | None = None) -> NetworkCounts:
    """Count the layers of a model.

    Args:
        path: ``.onnx``, an IR's ``.xml``, a ``.json`` of counts, or a bundle's folder: its IR if it has one, else its graph.
        network_only: Leave out the preprocessing in front of the network.
        key: PEM public key that a bundle's signature must match; None accepts any bundle.

    Raises:
        BundleError: The folder is no bundle, was changed, or is not signed with the key.
        ConfigError: An option does not apply to that kind of file.
        ModelError: The model cannot be read, or a layer cannot be counted.
    """
    behind = NETWORK_INPUT_NAME if network_only else None
    if path.is_dir():
        bundle = open_bundle(path, key=key)
        irs = [built.files for built in bundle.manifest.models if any(ref.path.endswith(".xml") for ref in built.files)]
        model = read_model_bytes(bundle, *(irs[0] if irs else (bundle.manifest.onnx,)))
        with tempfile.TemporaryDirectory(prefix="weckd-counts-") as own:
            return count_file(model.write(Path(own)), network_only=network_only)
    if key is not None:
        raise ConfigError(
            f"{path}: a key is for a bundle, and this is not one; leave the key out", code="E_CONFIG_OPTION_UNUSED"
        )
    if path.suffix == ".json":
        if network_only:
            raise ConfigError(
                f"{path}: counts are of a whole model already; leave --network-only out, or give the model",
                code="E_CONFIG_OPTION_UNUSED",
            )
        return read_counts(path)
    if path.suffix == ".xml":
        return count_ir(path, behind=behind)
    return count_onnx(load_graph(path), behind=behind)


def _build_network(
    recipe: NetworkRecipe, folder: Path, reduce_range: bool
) -> list[tuple[NetworkRecipe, Path, NetworkCounts]]:
    plain = build_network(recipe)
    small = quantize_for_timing(plain, [_image(recipe)], reduce_range=reduce_range)
    files = []
    for precision, model in (("float32", plain), ("int8", small)):
        path = folder / f"{recipe.name}-{precision}.onnx"
        path.write_bytes(model.SerializeToString())
        files.append((recipe, path, count_onnx(model)))
    return files


def _time_networks(
    built: Sequence[tuple[NetworkRecipe, Path, NetworkCounts]], backend: str, threads: int, rounds: int, progress: Progress
) -> list[list[int]]:
    """Return the median latencies of each network, one for each round, nanoseconds."""
    networks = [
        (functools.partial(open_runner, backend, path, threads=threads), _image(recipe)) for recipe, path, _ in built
    ]
    medians: list[list[int]] = [[] for _ in built]
    with progress.task("time calibration networks", rounds * len(built)) as task:
        for index, median_ns in time_in_rounds(networks, rounds=rounds):
            medians[index].append(median_ns)
            task.advance()
    return medians


def _image(recipe: NetworkRecipe) -> NDArray[Any]:
    random = np.random.default_rng(0)
    if recipe.frame is None:
        return random.standard_normal((1, 3, recipe.side, recipe.side)).astype(np.float32)
    return random.integers(0, 256, (1, *recipe.frame, 3), dtype=np.uint8)


def _version(backend: str, path: Path) -> str:
    runner = open_runner(backend, path)
    try:
        return runner.version
    finally:
        runner.close()
