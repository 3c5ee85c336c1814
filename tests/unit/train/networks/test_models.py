"""Making, loading, counting and ordering students."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from support.errors import raises
from support.training.hub_folder import write_hub_folder
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import ModelError, WeckdError
from weckd_edge.train.networks.models import StudentSize, check_order, create_student, measure_student
from weckd_edge.train.networks.start_digest import digest_of_start

TINY = "test_resnet"


def link(**changes: object) -> LinkConfig:
    return LinkConfig(**{"model": TINY, "input_size": 64, **changes})  # type: ignore[arg-type]  # free keywords


def test_a_student_gives_logits_and_a_feature_map() -> None:
    made = create_student(link(), 5)
    logits, features = made.student(torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, 5)
    assert features is not None
    assert features.ndim == 4


def test_an_unknown_model_is_refused_with_the_closest() -> None:
    with raises(ModelError, "E_MODEL_NAME", says="'mobilenetv2_10'"):
        create_student(link(model="mobilenetv2_10"), 2)


def test_options_that_timm_refuses_are_one_line() -> None:
    with raises(ModelError, "E_MODEL_OPTIONS") as caught:
        create_student(link(options={"no_such_option": 1}), 2)
    assert "\n" not in str(caught.value)
    with raises(ModelError, "E_MODEL_OPTIONS", says="no_such_option"):
        create_student(link(options={"no_such_option": 1}, pretrained=True), 2)


def test_a_hub_name_without_a_network_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for config in (link(model="hf_hub:timm/resnet18.a1_in1k"), link(model="mobilenetv2_100", pretrained=True)):
        with raises(ModelError, "E_MODEL_FETCH") as caught:
            create_student(config, 2)
        assert "\n" not in str(caught.value)


def test_local_weights_load_and_the_classifier_of_another_task_is_left_out(tmp_path: Path) -> None:
    thousand = create_student(link(), 1000).student.backbone
    save_file(thousand.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": thousand.state_dict()}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        five = create_student(link(weights=str(tmp_path / name)), 5).student.backbone
        for key, value in thousand.state_dict().items():
            if not key.startswith("fc"):
                assert torch.equal(five.state_dict()[key], value), key
        assert five.state_dict()["fc.weight"].shape[0] == 5


def test_a_folder_with_its_own_config_is_a_model_too(tmp_path: Path) -> None:
    backbone = create_student(link(), 3).student.backbone
    save_file(backbone.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": TINY, "num_classes": 3, "pretrained_cfg": {"mean": [0.1] * 3, "std": [0.2] * 3}})
    )
    made = create_student(link(model=f"local-dir:{tmp_path}"), 3)
    assert made.architecture == TINY
    assert made.mean == (0.1, 0.1, 0.1)
    assert torch.equal(made.student.backbone.state_dict()["conv1.0.weight"], backbone.state_dict()["conv1.0.weight"])


def test_weights_to_start_from_are_known_by_their_numbers_wherever_they_come_from(tmp_path: Path) -> None:
    assert digest_of_start(link(), 2) is None, "random weights are known by their seed"
    hub = link(model=write_hub_folder(tmp_path / "hub", 1, classes=3))
    first = digest_of_start(hub, 2)
    assert digest_of_start(hub, 2) == first, "a classifier that is drawn anew each time does not count"
    torch.save(create_student(hub, 3).student.backbone.state_dict(), tmp_path / "w.pth")
    assert digest_of_start(link(weights=str(tmp_path / "w.pth")), 2) == first
    write_hub_folder(tmp_path / "hub", 2, classes=3)
    assert digest_of_start(hub, 2) != first, "other weights under the same name"


def test_a_classifier_that_comes_with_the_weights_counts(tmp_path: Path) -> None:
    hub = link(model=write_hub_folder(tmp_path / "hub", 1, classes=3))
    state = create_student(hub, 3).student.backbone.state_dict()
    found = {classes: digest_of_start(hub, classes) for classes in (2, 3)}
    state["fc.bias"] += 1
    save_file(state, tmp_path / "hub/model.safetensors")
    assert digest_of_start(hub, 2) == found[2]
    assert digest_of_start(hub, 3) != found[3]
    file = link(weights=str(tmp_path / "hub/model.safetensors"))
    assert [digest_of_start(file, classes) for classes in (2, 3)] == [digest_of_start(hub, classes) for classes in (2, 3)]


def test_a_pruned_link_starts_from_the_whole_networks_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    hub = link(model=write_hub_folder(tmp_path / "hub", 1, classes=3))
    narrow = replace(hub, width=0.5)
    assert digest_of_start(narrow, 2) == digest_of_start(hub, 2)
    assert digest_of_start(narrow, 2, create_student(narrow, 2)) == digest_of_start(hub, 2, create_student(hub, 2))


@pytest.mark.parametrize(
    ("break_it", "part"),
    [
        (lambda d: d.update({"conv1.0.weight": torch.zeros(1, 1)}), "has shape [1, 1], but test_resnet expects"),
        (lambda d: d.pop("conv1.0.weight"), "lacks 1 tensors"),
        (lambda d: d.update({"blocks.weight": torch.zeros(1)}), "does not have; are these weights of another model?"),
    ],
)
def test_weights_of_another_shape_are_refused(tmp_path: Path, break_it: object, part: str) -> None:
    tensors = dict(create_student(link(), 5).student.backbone.state_dict())
    break_it(tensors)  # type: ignore[operator]  # a function of the table above
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as caught:
        create_student(link(weights=str(tmp_path / "w.safetensors")), 5)
    assert part in str(caught.value)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with raises(ModelError, "E_MODEL_WEIGHTS_FILE"):
        create_student(link(weights=str(tmp_path / name)), 5)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, ("raise SystemExit('ran')",)

    torch.save({"state_dict": Evil()}, tmp_path / "w.pth")
    with raises(ModelError, "E_MODEL_WEIGHTS_FILE"):
        create_student(link(weights=str(tmp_path / "w.pth")), 5)


def test_macs_are_those_in_print() -> None:
    """MobileNetV2 1.0 at 224: 300 M MACs, 3.5 M parameters (Sandler et al. 2018, table 4)."""
    size = measure_student(create_student(LinkConfig(model="mobilenetv2_100", input_size=224), 1000).student, (224, 224))
    assert size.macs == pytest.approx(300e6, rel=0.02)
    assert size.parameters == pytest.approx(3.5e6, rel=0.02)


def test_a_chain_must_shrink_in_one_measure_at_least() -> None:
    links = [link(model="a"), link(model="b")]
    check_order(links, [StudentSize(parameters=10, macs=10), StudentSize(parameters=10, macs=9)])
    check_order(links, [StudentSize(parameters=10, macs=10), StudentSize(parameters=9, macs=11)])
    with raises(ModelError, "E_MODEL_CHAIN_ORDER", says=("2", "64", "10", "1")):
        check_order(links, [StudentSize(parameters=10, macs=10), StudentSize(parameters=10, macs=10)])


def test_a_link_may_be_the_same_network_at_the_same_size_as_the_one_before_it() -> None:
    size = StudentSize(parameters=10, macs=10)
    check_order([link(model="a"), link(model="a"), link(model="a")], [size, size, size])
    with raises(ModelError, "E_MODEL_CHAIN_ORDER", says="1"):
        check_order(
            [link(model="a", input_size=64), link(model="a", input_size=96)], [size, StudentSize(parameters=10, macs=20)]
        )


@pytest.mark.parametrize(
    "options",
    [{"channels": (0, 0, 0, 0)}, {"channels": (16,)}, {"block": "x"}, {"act_layer": "none"}, {"features_only": True},
     {"drop_rate": 5.0}, {"in_chans": 7}, {"layers": (0, 0, 0, 0)}, {"global_pool": ""}],
    ids=str,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_options_with_which_no_network_can_predict_are_one_line_before_any_training(options: dict[str, Any]) -> None:
    with raises(WeckdError, "E_MODEL_OPTIONS", "E_MODEL_INPUT_SIZE", "E_MODEL_OUTPUT", "E_CONFIG_NETWORK_OPTION") as caught:
        measure_student(create_student(link(model="resnet18", options=options), 3).student, (64, 64))
    assert "\n" not in str(caught.value)
