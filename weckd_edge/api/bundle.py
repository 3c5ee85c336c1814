"""A sealed bundle: what it says of itself, its self-test, its bench, and its model."""

from __future__ import annotations

import os
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.api.model import Model
from weckd_edge.artifacts import Evaluation, Gate, InputSpec, Manifest, Measurement, MetricsRecord, Precision, Target
from weckd_edge.bundle import reader
from weckd_edge.core.progress import Progress
from weckd_edge.devices.runtime.predict import open_model
from weckd_edge.devices.runtime.verify_bundle import VerifyResult, verify_bundle

if TYPE_CHECKING:
    from weckd_edge.api.settings import Config
    from weckd_edge.devices.bench.settings import BenchSettings
    from weckd_edge.report import BundleContents


def load(path: str | os.PathLike[str], *, key: str | os.PathLike[str] | None = None, min_version: int = 0) -> Bundle:
    """Load a bundle: its signature is checked first, then the digest of every file; no model is opened.

    Args:
        path: The bundle's folder.
        key: PEM public key of the bundle's owner; with it, an unsigned bundle is refused. None checks no signature.
        min_version: Smallest version that is accepted.

    Returns:
        The bundle.

    Raises:
        BundleError: The folder holds no bundle, or one that was changed, is too old, or is not signed with the key.
        ConfigError: The key cannot be used.
        MissingDependency: A key was given, and the extra ``sign`` is not installed.

    Example:
        >>> import weckd_edge
        >>> bundle = weckd_edge.load("ear-bundle")
        >>> bundle.labels
        ('effusion', 'normal', 'wax')
        >>> with bundle.open() as model:
        ...     model.predict("eardrum.png").decision
        'normal'
    """
    folder, public_key = Path(path), None if key is None else Path(key)
    return Bundle(reader.open_bundle(folder, key=public_key, min_version=min_version), public_key, min_version)


class Bundle:
    """A sealed bundle whose signature and digests were checked when it was loaded; ``load`` and ``build`` return one.

    Attributes:
        path: The bundle's folder.
        manifest: The bundle's manifest, as it was sealed.
        signature: ``valid``; ``unsigned``; or ``unchecked``, where there is a signature and no key was given.
    """

    def __init__(self, opened: reader.Bundle, key: Path | None, min_version: int) -> None:
        """Take a bundle that was opened with a public key and a smallest version; ``load`` calls this."""
        self._opened = opened
        self._key = key
        self._min_version = min_version
        self.path: Path = opened.folder
        self.manifest: Manifest = opened.manifest
        self.signature: str = opened.signature

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.manifest.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the network's outputs."""
        return self.manifest.labels

    @property
    def input(self) -> InputSpec:
        """The camera frame, and the network's input that is made of it."""
        return self.manifest.input

    @property
    def target(self) -> Target:
        """Kind of device that the bundle is for: ``cpu`` or ``jetson``."""
        return self.manifest.target

    @property
    def device(self) -> str:
        """Id of the device profile that the bundle was built for."""
        return self.manifest.device

    @property
    def version(self) -> int:
        """Version of the bundle, for firmware that refuses older ones; 0 where it has none."""
        return self.manifest.version

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Every limit with the value that was found and its verdict."""
        return self.manifest.gates

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return self.manifest.passed

    @property
    def report(self) -> Path | None:
        """Path of the report, an HTML page; None where the bundle has none."""
        from weckd_edge.report.evidence import EVIDENCE_FOLDER, REPORT_FILE

        path = f"{EVIDENCE_FOLDER}/{REPORT_FILE}"
        return self.path / path if any(ref.path == path for ref in self.manifest.files) else None

    @property
    def metrics(self) -> MetricsRecord | None:
        """Metrics on the test images, by class and slice, with intervals; None where the bundle has none.

        Example:
            >>> import weckd_edge
            >>> metrics = weckd_edge.load("ear-bundle").metrics
            >>> round(metrics.compiled.accuracy.value, 2)
            0.83
        """
        return self.contents.metrics

    @cached_property
    def contents(self) -> BundleContents:
        """Everything that the build recorded: data set, chain, verification, benches, audit and more.

        Raises:
            BundleError: A file of evidence is missing, or is not what a build writes.
        """
        from weckd_edge.report import read_contents

        return read_contents(self._opened.read_path, self.manifest)

    def verify(self) -> VerifyResult:
        """Check the signature and every digest again, and run the self-test on every backend here.

        A bundle that does not pass is a result, not an exception.

        Returns:
            The state of signature and digests, and for each backend how far it is from the expected predictions.

        Raises:
            ConfigError: The key that the bundle was loaded with cannot be used any more.

        Example:
            >>> import weckd_edge
            >>> result = weckd_edge.load("ear-bundle").verify()
            >>> result.passed
            True
        """
        return verify_bundle(self.path, self._key, self._min_version)

    def evaluate(  # noqa: PLR0913 - one call says everything, by keyword
        self,
        data: str | os.PathLike[str],
        *,
        backend: str | None = None,
        precision: Precision | None = None,
        threads: int = 1,
        config: Config = None,
        skip_bad: bool = False,
        cache: str | os.PathLike[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Measure the bundle on labelled images that its build has not seen, such as those of another site.

        Images with the pixels of one that the build trained on, or chose by, are left out; those of its test split are not.

        Args:
            data: Folder ``<label>/<image>`` or a CSV; the classes are some or all of the bundle's.
            backend: Backend that runs the model; None takes what ``finalize`` chose on this device, else the bundle's first
                that runs here.
            precision: Precision of the model, ``int8``, ``fp16`` or ``fp32``; None takes any.
            threads: Processor threads that one prediction may use.
            config: Settings, of which those of ``data`` and ``report`` are read: columns, slices, bands and prevalences.
            skip_bad: Leave out files that cannot be used, instead of refusing the data set.
            cache: Folder that keeps what was read of each image; None keeps nothing.
            out: Folder for ``evaluation.json``, ``predictions.csv`` and ``confusion_matrix.csv``; None writes nothing.
            progress: Receiver of the progress; None shows nothing.

        Returns:
            Metrics with 95 % intervals by groups, of the network alone and of the decisions that a device would give.

        Raises:
            ConfigError: A setting is wrong, or ``out`` lies in the data set or in a bundle.
            DataError: The images cannot be used, are of other classes, or hold nothing that the build has not seen.
            WeckdError: The bundle's model cannot be opened here, or ``out`` cannot be written.

        Example:
            >>> import weckd_edge
            >>> found = weckd_edge.load("ear-bundle").evaluate("other-site/images.csv")
            >>> found.images, found.groups, found.metrics.accuracy.value
            (8, 4, 0.875)
        """
        from weckd_edge.api.settings import read_config
        from weckd_edge.core.progress import SilentProgress
        from weckd_edge.pipeline.evaluate import evaluate_bundle, write_evaluation
        from weckd_edge.pipeline.output_paths import ReadPath, check_place

        source, folder = Path(data), None if out is None else Path(out)
        if folder is not None:
            check_place(folder, [ReadPath("the data set", source)])
        with closing(open_model(self._opened, backend=backend, precision=precision, threads=threads)) as model:
            found, images = evaluate_bundle(
                model,
                self.contents,
                source,
                read_config(config),
                skip_bad=skip_bad,
                progress=progress or SilentProgress(),
                cache=None if cache is None else Path(cache),
            )
        if folder is not None:
            write_evaluation(folder, found, images)
        return found

    def bench(
        self,
        settings: BenchSettings | None = None,
        *,
        backend: str | None = None,
        precision: Precision | None = None,
        power: str = "auto",
        out: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Measurement:
        """Measure latency, memory and energy on this machine, with the bundle's golden frames.

        Args:
            settings: Length of the run, threads and load generator; None takes MLPerf-like rules that last seconds.
            backend: Backend that runs the model; None takes what ``finalize`` chose on this device, else the bundle's first
                that runs here.
            precision: Precision of the model, ``int8``, ``fp16`` or ``fp32``; None takes any.
            power: Power source: ``ina3221``, ``ina238``, ``rapl``, ``replay:FILE``, ``none``, or ``auto``.
            out: Folder for the record, every latency and a page; None keeps none.
            progress: Receiver of the progress; None shows nothing.

        Returns:
            The measurement; latencies are in nanoseconds.

        Raises:
            ConfigError: A setting is out of range, or ``out`` lies in a bundle.
            WeckdError: The bundle's model cannot be opened here, or ``out`` cannot be written.

        Example:
            >>> import weckd_edge
            >>> settings = weckd_edge.BenchSettings(queries=100)
            >>> found = weckd_edge.load("ear-bundle").bench(settings, power="none")
            >>> len(found.end_to_end.samples_ns)
            100
        """
        from weckd_edge.devices.bench.bench import bench
        from weckd_edge.devices.bench.power.table import open_source
        from weckd_edge.devices.bench.settings import QUICK
        from weckd_edge.devices.bench.watched_run import BenchMachine

        folder = None if out is None else Path(out)
        if folder is not None:
            from weckd_edge.pipeline.output_paths import check_place

            check_place(folder)
        with closing(open_source(power)) as source:
            found = bench(
                self._opened,
                settings or QUICK,
                backend=backend,
                precision=precision,
                machine=BenchMachine(power=source),
                out=folder,
                progress=progress,
            )
        if folder is not None:
            from weckd_edge.report.bench_page import write_bench_page

            write_bench_page(folder, found)
        return found

    def judge(self, measurement: Measurement, *, device: str | os.PathLike[str] | None = None) -> tuple[Gate, ...]:
        """Judge a bench of this bundle by the bundle's limits of latency, memory and energy.

        Args:
            measurement: A bench of this bundle, made here or on another machine.
            device: The device profile that the bundle was built for, a TOML file of the user's own; the measurement must be
                one of this machine then. None: the profile came with the package.

        Returns:
            Each limit with a verdict. ``INCONCLUSIVE``: it was measured on another device than the bundle is for, or the
            bench proves neither. Empty where the bundle has no such limit.

        Raises:
            ConfigError: The bundle was built for another profile.
            DeviceError: The profile cannot be read.

        Example:
            >>> import weckd_edge
            >>> bundle = weckd_edge.load("ear-bundle")
            >>> found = bundle.bench(weckd_edge.BenchSettings(queries=100), power="none")
            >>> [gate.name for gate in bundle.judge(found)]
            ['max_latency_p90_ms']
        """
        from weckd_edge.devices.gates.bundle_limits import judge_bench
        from weckd_edge.devices.machine.detect import detect
        from weckd_edge.devices.profiles.profile import load_profile

        if device is None:
            return judge_bench(self.manifest, measurement)
        own = load_profile(device if isinstance(device, str) else Path(device))
        return judge_bench(self.manifest, measurement, own, detect())

    def open(self, backend: str | None = None, precision: Precision | None = None, *, threads: int = 1) -> Model:
        """Open the bundle's model on this machine, from the bytes whose digests were checked.

        Args:
            backend: Backend that runs the model: ``openvino``, ``onnxruntime``, ``litert`` or ``tensorrt``; None takes what
                ``finalize`` chose on this device, else the bundle's first that runs here.
            precision: Precision of the model, ``int8``, ``fp16`` or ``fp32``; None takes any.
            threads: Processor threads that one prediction may use.

        Returns:
            The model; use it as a context, or close it.

        Raises:
            BundleError: A file was changed since the bundle was loaded.
            ConfigError: The backend is unknown, or there are fewer than one thread.
            DeviceError: The bundle holds no such model, or its precision is none of this processor's.
            MissingDependency: The backend's library is not installed; the message names the extra.
            ModelError: The backend refuses the model.

        Example:
            >>> import weckd_edge
            >>> with weckd_edge.load("ear-bundle").open("openvino", threads=2) as model:
            ...     model.precision
            'int8'
        """
        return Model(open_model(self._opened, backend=backend, precision=precision, threads=threads))

    def __repr__(self) -> str:
        verdict = "passes" if self.passed else "does not pass"
        return f"<Bundle {self.name} for {self.device}: {', '.join(self.labels)}; {verdict}>"
