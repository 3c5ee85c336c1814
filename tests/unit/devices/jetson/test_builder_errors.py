"""A defect of TensorRT's builder is told from a graph that it cannot build, with what helps."""

import pytest

from weckd_edge.core.errors import DeviceError, ModelError
from weckd_edge.devices.jetson.builder_errors import build_error

SEEN = (
    "[checkSanity.cpp::checkLinks::218] Error Code 2: Internal Error (Assertion item.second != nullptr failed. region "
    "should have been removed from Graph::regions)"
)
"""What the builder of 10.3 logs on JetPack 6.2."""

AFTER = "IBuilder::buildSerializedNetwork: Error Code 2: Internal Error (Assertion engine != nullptr failed)"


@pytest.mark.parametrize("errors", [[SEEN], [SEEN, AFTER], ["some other error", SEEN]])
def test_the_defect_of_10_3_is_named_with_what_to_install(errors: list[str]) -> None:
    found = build_error("model.onnx", "10.3.0", errors)
    assert isinstance(found, DeviceError)
    assert found.code == "E_DEVICE_TENSORRT_DEFECT"
    for fact in ("model.onnx", "10.3.0", "checkSanity", "install TensorRT 10.7"):
        assert fact in str(found)
    assert "\n" not in str(found)


def test_a_version_that_is_reported_to_be_free_of_it_is_not_advised_to_install_itself() -> None:
    found = build_error("model.onnx", "10.7.0", [SEEN])
    assert found.code == "E_DEVICE_TENSORRT_DEFECT"
    assert "install" not in str(found)


@pytest.mark.parametrize("errors", [[], [AFTER], ["Error Code 10: Could not find any implementation for node Conv_1"]])
def test_any_other_error_is_one_of_the_graph_with_its_last_message(errors: list[str]) -> None:
    found = build_error("model.onnx", "10.3.0", errors)
    assert isinstance(found, ModelError)
    assert found.code == "E_MODEL_BACKEND_BUILD"
    assert (errors[-1] if errors else "no reason given") in str(found)
