"""One build decodes each held-out image once, and shows it to each model once; test images have no part in any choice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import factories
from support.machines.int8 import SATURATES

pytestmark = pytest.mark.slow

MORE = """
[select]
compare = true

[abstain]
max_group_error = 0.5
on_failure = "report"
"""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of_model(model: Path) -> str:
    weights = model.with_suffix(".bin")
    return sha(model.read_bytes() + (weights.read_bytes() if model.suffix == ".xml" else b""))


@dataclass
class Counts:
    """What a build ran and decoded.

    Attributes:
        runs: How often a model was shown an array; the model as digest, backend and manner.
        files: The file of each model.
        decoded: How often an image file was decoded to a camera frame.
    """

    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    files: dict[str, Path] = field(default_factory=dict)
    decoded: Counter[str] = field(default_factory=Counter)

    def shown(self, images: dict[str, str]) -> dict[str, Counter[str]]:
        """Return how often each model was shown each image; ``images`` has the image of each array's digest."""
        found: dict[str, Counter[str]] = {}
        for (model, array), count in self.runs.items():
            if array in images:
                found.setdefault(model, Counter())[images[array]] += count
        return found


class CountingRunner:
    """A real runner that notes what it is shown."""

    def __init__(self, runner: Any, model: str, counts: Counts) -> None:
        self.runner, self.model, self.counts = runner, model, counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def run(self, frame: Any) -> Any:
        self.counts.runs[self.model, sha(frame.tobytes())] += 1
        return self.runner.run(frame)


def count_runners(monkeypatch: pytest.MonkeyPatch, counts: Counts) -> None:
    from weckd_edge.devices.runtime.backends import onnxruntime_backend, openvino_backend

    for backend in (onnxruntime_backend, openvino_backend):

        def open_model(
            model: Any, *, opened: Callable[..., Any] = backend.open_model, name: str = backend.__name__, **how: Any
        ) -> Any:
            path = Path(str(model))
            digest = digest_of_model(path) if path.is_file() else sha(model.graph + model.weights)
            known = f"{digest} {name.rpartition('.')[2]} {how['reference']}"
            counts.files.setdefault(known, path)
            return CountingRunner(opened(model, **how), known, counts)

        monkeypatch.setattr(backend, "open_model", open_model)


def count_students(monkeypatch: pytest.MonkeyPatch, counts: Counts) -> None:
    """Count what networks of torch are shown outside their training."""
    import torch

    from weckd_edge.train.networks.models import Student, weights_of

    forward = Student.forward

    def counted(self: Any, images: Any) -> Any:
        if torch.is_inference_mode_enabled():
            weights = sha(weights_of(self))
            for image in images:
                counts.runs[f"{weights} torch", sha(image.contiguous().numpy().tobytes())] += 1
        return forward(self, images)

    monkeypatch.setattr(Student, "forward", counted)


def count_decoding(monkeypatch: pytest.MonkeyPatch, counts: Counts) -> None:
    """Count the decoding of images to camera frames; the audit of the data set reads its sample by itself."""
    from weckd_edge.devices.images import split_frames
    from weckd_edge.pipeline.steps import guard
    from weckd_edge.train.audit import features

    real = split_frames.frame_from_file

    def counted(path: Path, contract: Any) -> Any:
        counts.decoded[path.as_posix()] += 1
        return real(path, contract)

    def read(paths: Any, contract: Any) -> Iterator[Any]:
        return (real(path, contract) for path in paths)

    for module in (split_frames, guard):
        monkeypatch.setattr(module, "frame_from_file", counted)
    monkeypatch.setattr(features, "frames_of", read)


def without_timing(monkeypatch: pytest.MonkeyPatch, timed: Counter[str]) -> None:
    """Let nothing be shown to a model to time it; count which models would be."""
    from weckd_edge.artifacts import Measurement
    from weckd_edge.compile.quantize.candidates import evaluate
    from weckd_edge.devices.bench.interleaved import InterleavedTiming
    from weckd_edge.pipeline.steps import bench

    def race(runners: Any, frames: Any) -> list[InterleavedTiming]:
        return [InterleavedTiming(median_ns=1_000_000, relative=1.0, low=1.0, high=1.0) for _ in runners]

    def bench_model(model: Any, frames: Any, settings: Any, **_: Any) -> Measurement:
        timed[digest_of_model(model.model)] += 1
        times = (1_000_000,) * settings.queries
        return factories.measurement(times, backend=model.backend, precision=model.precision)

    def add_parts(measurement: Measurement, model: Any, frames: Any, settings: Any) -> Measurement:
        timed[f"network of {digest_of_model(model.model)}"] += 1
        return measurement

    monkeypatch.setattr(evaluate, "time_interleaved", race)
    monkeypatch.setattr(bench, "bench_model", bench_model)
    monkeypatch.setattr(bench, "add_parts", add_parts)


@pytest.mark.parametrize("target", ["cpu", "jetson"])
def test_each_model_is_shown_each_held_out_image_once(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any
) -> None:
    for module in ("torch", "timm", "onnxruntime", "openvino" if target == "cpu" else "tensorrt_rtx"):
        pytest.importorskip(module)
    import torch

    from weckd_edge.artifacts import DatasetIndex
    from weckd_edge.config import load_config
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.devices.images.frames import frame_from_file
    from weckd_edge.devices.runtime.front_end import FrontEnd
    from weckd_edge.pipeline.build import build
    from weckd_edge.pipeline.request import BuildRequest
    from weckd_edge.train.networks.preprocess import make_network_input

    config = tmp_path / "all.toml"
    tiny = (place / "tiny.toml").read_text().replace('precision = "int8"\nmethod = "minmax"\n', "")
    config.write_text(tiny.replace("labelled_fraction = 0.2", "labelled_fraction = 0.2\nval_fraction = 0.3") + MORE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    counts, timed = Counts(), Counter[str]()
    for count in (count_runners, count_students, count_decoding):
        count(monkeypatch, counts)
    without_timing(monkeypatch, timed)
    out = tmp_path / "bundle"
    request = BuildRequest(data=place / "phantom", target=target, device=None, out=out, config=load_config(config))
    contents = build(request, SilentProgress())

    index: DatasetIndex = contents.dataset
    spec = contents.manifest.input.frame
    front_ends = [FrontEnd(link.input) for link in contents.chain.links]
    splits: dict[str, dict[str, Any]] = {"val": {}, "test": {}}
    taken: dict[str, dict[str, str]] = {"val": {}, "test": {}}  # the image of what a graph takes, by its digest
    for record in index.images:
        if record.split != "train":
            frame = frame_from_file(place / "phantom" / record.path, spec)
            splits[record.split][record.path] = frame
            taken[record.split] |= {sha(front_end.pixels(frame).tobytes()): record.path for front_end in front_ends}
    assert not set(taken["val"]) & set(taken["test"])

    shown = {split: counts.shown(found) for split, found in taken.items()}
    for split, models in shown.items():
        assert all(set(counter.values()) == {1} for counter in models.values()), f"{split}: a model is shown an image twice"
    names = sorted(model.split(" ", 1)[1] for model, seen in shown["test"].items() if set(seen) == set(splits["test"]))
    assert len(names) == len(shown["test"]), "test images are shown all or none"
    assert contents.verification.calibration is not None
    assert contents.verification.calibration.recalibration.temperature != 1
    # Where sums of a Jetson's int8 would saturate, ONNX Runtime runs it as written, and so once.
    least = 4 if target == "jetson" and SATURATES else 5
    assert len(names) >= least, "exported, as written, as it runs here, with and without the temperature"
    assert len(shown["val"]) > 3 * 5, "three links in several precisions"

    shipped = contents.link_selection.chosen
    assert [link.name for link in contents.link_selection.links] == ["M1", "M2", "M3"]
    work = out.with_name("bundle.work")
    others = {
        digest_of_model(path)
        for path in work.glob("*/model.*")
        if path.suffix in (".onnx", ".xml")
        and path.parent.name.rpartition("-")[0].endswith(("M1", "M2", "M3"))
        and not path.parent.name.rpartition("-")[0].endswith(shipped)
    }
    assert len(others) >= 4, "the other links were exported and compiled"
    assert not {model.split(" ")[0] for model in shown["test"]} & others, "test images are shown to what ships alone"

    for link in contents.chain.links:
        for split, found in splits.items():
            inputs = {
                sha(make_network_input(torch.tensor(frame), link.input)[0].contiguous().numpy().tobytes()): image
                for image, frame in found.items()
            }
            seen = counts.shown(inputs)
            assert seen[f"{link.weights.sha256} torch"] == Counter(dict.fromkeys(found, 1)), (
                f"{link.name}: {split} images, each once"
            )
            assert all(set(counter.values()) == {1} for counter in seen.values())

    held_out = {(place / "phantom" / r.path).as_posix(): 1 for r in index.images if r.split != "train"}
    assert {path: count for path, count in counts.decoded.items() if path in held_out} == held_out

    assert sorted(timed.values()) == [1] * 4, "three links once each, and the network alone of one"
    if target == "cpu":
        built = out / contents.manifest.models[0].files[0].path
        assert f"network of {digest_of_model(built)}" in timed
        assert digest_of_model(built) in timed, "what was timed is what ships"
    assert np.isfinite(contents.verification.predictions[0].compiled).all()
    assert json.loads((out / "evidence/abstention.json").read_text())["threshold"] is not None
