"""Build a bundle from images, or compile a network into one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weckd_edge.api.bundle import Bundle, load
from weckd_edge.api.settings import Config, choose_target, read_config
from weckd_edge.config import LinkConfig
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.serialization import from_data

if TYPE_CHECKING:
    from weckd_edge.compile.importing.hints import InputHints


def build(
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    target: str = "cpu",
    device: str | None = None,
    config: Config = None,
    auto_links: bool = False,
    key: str | os.PathLike[str] | None = None,
    bundle_version: int = 0,
    skip_bad: bool = False,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Train the chain, compile the link that is selected, verify it, and seal a bundle.

    A build that was stopped goes on where it was: call it again with the same arguments. A missed limit is no error: the
    bundle is written, and ``Bundle.passed`` is False. For several processes that train together, start the command
    ``weckd-edge build`` under their launcher.

    Args:
        data: Data set: a folder of ``<label>/<image>`` or a CSV.
        out: Folder of the bundle; ``OUT.work`` beside it keeps finished steps.
        target: Kind of device: ``cpu`` or ``jetson``.
        device: Name or file of a device profile; None takes the target's default.
        config: Settings: path of a TOML file, a ``BuildConfig``, or a mapping of its tables; None takes the defaults.
        auto_links: Choose the links by latency measured here, as many as the settings name.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Version written into the bundle, for firmware that refuses older ones; 0 writes none.
        skip_bad: Leave out files that cannot be used, and record them, instead of refusing the data set.
        cache: Folder that keeps what was read of each image, for other runs; None keeps it in ``OUT.work``.
        progress: Receiver of the progress; None shows nothing.

    Returns:
        The sealed bundle.

    Raises:
        ConfigError: A setting is unknown, wrong, or contradicts another.
        DataError: The data set cannot be used.
        MissingDependency: A library is missing; the message names the extra that brings it.
        WeckdError: Another step cannot be done; finished steps are kept.

    Example:
        >>> import weckd_edge
        >>> bundle = weckd_edge.build("images", out="new-bundle", config="build.toml")
        >>> bundle.labels
        ('dark', 'light')
        >>> bundle.report.name
        'report.html'
    """
    from weckd_edge.pipeline.build import build as run_build
    from weckd_edge.pipeline.output_paths import normal_path
    from weckd_edge.pipeline.request import BuildRequest

    request = BuildRequest(
        data=Path(data),
        target=choose_target(target),
        device=device,
        out=Path(out),
        config=read_config(config),
        skip_bad=skip_bad,
        key=None if key is None else Path(key),
        bundle_version=bundle_version,
        auto_links=auto_links,
        cache=None if cache is None else Path(cache),
    )
    run_build(request, progress or SilentProgress())
    return load(normal_path(Path(out)))


def compile_model(
    source: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    target: str = "cpu",
    device: str | None = None,
    hints: InputHints | Mapping[str, Any] | None = None,
    model: str | LinkConfig | None = None,
    weights_key: str | None = None,
    labels: Sequence[str] | None = None,
    calibrate_on: str | os.PathLike[str] | None = None,
    config: Config = None,
    key: str | os.PathLike[str] | None = None,
    bundle_version: int = 0,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Compile a network that was trained elsewhere, verify it, and seal a bundle.

    Args:
        source: An ``.onnx`` classifier, a checkpoint of a timm network, or the folder of a former build's link or bundle.
        data: Labelled folder or CSV: range estimation on its training images, verification on its test images.
        out: Folder of the bundle; ``OUT.work`` beside it keeps finished steps.
        target: Kind of device: ``cpu`` or ``jetson``.
        device: Name or file of a device profile; None takes the target's default.
        hints: Description of the network's input where the file leaves it open, such as
            ``{"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "channel_order": "bgr"}``.
        model: timm name of a checkpoint's network, with its options as a ``LinkConfig``; None where the checkpoint names it.
        weights_key: Key of the weights inside a checkpoint, such as ``state_dict``; None takes the usual ones.
        labels: Class names in the order of the network's outputs; None takes the data set's, sorted.
        calibrate_on: Other labelled images for range estimation; None takes training images.
        config: Settings, as for ``build``; links in them are not trained.
        key: PEM private key to sign with; None leaves the bundle unsigned.
        bundle_version: Version written into the bundle, for firmware that refuses older ones; 0 writes none.
        skip_bad: Leave out files that cannot be used, and record them, instead of refusing the data set.
        progress: Receiver of the progress; None shows nothing.

    Returns:
        The sealed bundle.

    Raises:
        ConfigError: A setting or a hint is unknown, wrong, or contradicts the network.
        DataError: The data set cannot be used.
        MissingDependency: A library is missing; the message names the extra that brings it.
        ModelError: The network cannot be read, or is no classifier that can be compiled.
        WeckdError: Another step cannot be done; finished steps are kept.

    Example:
        >>> import weckd_edge
        >>> bundle = weckd_edge.compile_model(
        ...     "network.onnx",
        ...     "images",
        ...     out="compiled-bundle",
        ...     hints={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
        ...     config={"quantize": {"precision": "int8", "method": "minmax", "images": 8}, "bench": {"queries": 64}},
        ... )
        >>> bundle.verify().passed
        True
    """
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.pipeline.compile_model import compile_model as run_compile
    from weckd_edge.pipeline.output_paths import normal_path
    from weckd_edge.pipeline.request import CompileRequest

    described = hints if isinstance(hints, InputHints) else from_data(InputHints, dict(hints or {}), where="hints")
    request = CompileRequest(
        source=Path(source),
        data=Path(data),
        target=choose_target(target),
        device=device,
        out=Path(out),
        hints=described,
        config=read_config(config, links=()),
        model=LinkConfig(model=model) if isinstance(model, str) else model,
        weights_key=weights_key,
        labels=None if labels is None else tuple(labels),
        calibrate_on=None if calibrate_on is None else Path(calibrate_on),
        skip_bad=skip_bad,
        key=None if key is None else Path(key),
        bundle_version=bundle_version,
    )
    run_compile(request, progress or SilentProgress())
    return load(normal_path(Path(out)))
