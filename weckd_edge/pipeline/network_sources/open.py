"""Open the network that ``compile`` imports, by what its path names: a folder, an ``.onnx`` file, or a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.core.errors import ConfigError
from weckd_edge.pipeline.network_sources.base import NetworkSource
from weckd_edge.pipeline.network_sources.checkpoint_source import open_checkpoint
from weckd_edge.pipeline.network_sources.link_source import open_link
from weckd_edge.pipeline.network_sources.onnx_source import open_onnx

if TYPE_CHECKING:
    from weckd_edge.pipeline.request import CompileRequest


def open_source_network(request: CompileRequest) -> NetworkSource:
    """Open the imported network, and check the options that describe it.

    Raises:
        ConfigError: An option contradicts the network, or nothing says which network a checkpoint is of.
        ModelError: The file cannot be read, or is no classifier that can be compiled.
        StoreError: The folder holds no link.
    """
    from weckd_edge.compile.importing.hints import InputHints

    source = request.source
    if request.labels is not None and len(set(request.labels)) != len(request.labels):
        raise ConfigError(
            "--labels: names a class twice; expected each once, in the order of the network's outputs",
            code="E_CONFIG_CLASSES",
        )
    is_onnx = source.suffix.lower() == ".onnx"
    for option, value in (("--model", request.model), ("--weights-key", request.weights_key)):
        if value is not None and (is_onnx or source.is_dir()):
            raise ConfigError(
                f"{source.name}: {option} is for a checkpoint; an ONNX file or a link says itself what it is",
                code="E_CONFIG_OPTION_UNUSED",
            )
    if source.is_dir():
        if request.hints != InputHints() or request.labels is not None:
            raise ConfigError(
                f"{source.name}: a link says itself how its input and labels are; leave those options out",
                code="E_CONFIG_OPTION_UNUSED",
            )
        return open_link(source)
    if is_onnx:
        return open_onnx(source, request.hints, request.labels)
    if not source.is_file():
        raise ConfigError(
            f"{source}: expected an .onnx file, a checkpoint with --model TIMM_NAME, or the folder of a former build's link",
            code="E_CONFIG_SOURCE",
        )
    return open_checkpoint(source, request.model, request.hints, request.labels, weights_key=request.weights_key)
