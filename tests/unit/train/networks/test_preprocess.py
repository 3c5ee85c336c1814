"""What training shows a network is what its input's description says, and another description is another training."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from support.errors import raises

torch = pytest.importorskip("torch")

from weckd_edge.config import BuildConfig, DataConfig, InputConfig, LinkConfig, TrainConfig  # noqa: E402 - behind the skip
from weckd_edge.core.errors import ConfigError  # noqa: E402
from weckd_edge.core.progress import SilentProgress  # noqa: E402
from weckd_edge.core.store import Workspace  # noqa: E402
from weckd_edge.devices.images.frames import frame_from_file  # noqa: E402
from weckd_edge.train.data.index import cached_index  # noqa: E402
from weckd_edge.train.distill.chain import make_trainer, plan_chain  # noqa: E402
from weckd_edge.train.distill.trainer import LinkJob  # noqa: E402
from weckd_edge.train.networks.models import create_student, save_weights  # noqa: E402
from weckd_edge.train.networks.preprocess import MIDDLE_GREY, crop_and_resize, suited_mean  # noqa: E402

GREY = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)
IMAGENET = (0.485, 0.456, 0.406)


def links(**first: str) -> tuple[LinkConfig, ...]:
    options: list[dict[str, int | tuple[int, ...]]] = [{"channels": (w,) * 4, "stem_width": 8} for w in (16, 8)]
    return tuple(
        LinkConfig(model="resnet10t", input_size=32, options={**o}, **(first if i == 0 else {}))  # type: ignore[arg-type]  # weights
        for i, o in enumerate(options)
    )


def test_another_resize_is_another_cache_that_holds_what_a_device_will_see(ears: Path, tmp_path: Path) -> None:
    workspace, caches = Workspace(tmp_path / "work"), []
    kinds: tuple[Literal["antialiased_bilinear", "bilinear", "area"], ...] = (
        "antialiased_bilinear",
        "bilinear",
        "antialiased_bilinear",
        "area",
    )
    for kind in kinds:
        config = BuildConfig(link=links(), data=DataConfig(labelled_fraction=0.3), input=InputConfig(resize=kind))
        index = cached_index(workspace, ears, config, skip_bad=False, progress=SilentProgress()).artifact
        plans = plan_chain(index, config)
        trainer = make_trainer(workspace, ears, index, plans, SilentProgress())
        job = LinkJob(name="M1", plan=plans[0], labelled_subset=0, labelled_subsets=None, seed=0, train=TrainConfig())
        opened = trainer.open_feed(job).images[32]
        caches.append(np.array(opened.pixels))
        for cached, path in zip(caches[-1], trainer.paths, strict=True):
            frame = torch.from_numpy(frame_from_file(path, plans[0].input.frame))
            if kind == "area":
                seen, cached = crop_and_resize(frame, plans[0].input.frame, (32, 32)), cached[::2, ::2]
            else:
                seen = crop_and_resize(frame, plans[0].input.frame, (37, 37))
            assert np.array_equal(cached, seen[0].permute(1, 2, 0).round().numpy())
    assert len(list((tmp_path / "work").glob("pixels-*"))) == 3
    assert np.array_equal(caches[0], caches[2])
    assert not np.array_equal(caches[0], caches[1])
    assert not np.array_equal(caches[3], caches[0])
    assert not np.array_equal(caches[3], caches[1])


def test_fresh_weights_get_pixels_that_fit_int8_and_trained_ones_what_they_know(ears: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    config = BuildConfig(link=links(), data=DataConfig(labelled_fraction=0.3))
    index = cached_index(workspace, ears, config, skip_bad=False, progress=SilentProgress()).artifact
    assert [plan.input.network.mean for plan in plan_chain(index, config)] == [GREY, GREY]
    save_weights(create_student(links()[0], 2).student, tmp_path / "trained.safetensors")
    trained = BuildConfig(link=links(weights=str(tmp_path / "trained.safetensors")), data=DataConfig(labelled_fraction=0.3))
    assert [plan.input.network.mean for plan in plan_chain(index, trained)] == [IMAGENET, GREY]


@pytest.mark.parametrize(
    ("mean", "fresh", "expected"),
    [
        (IMAGENET, True, GREY),
        (IMAGENET, False, IMAGENET),
        ((0.5, 0.5, 0.5), False, GREY),
        ((0.0, 0.0, 0.0), False, (0.0, 0.0, 0.0)),
        ((0.5, 0.5, 0.49), False, (0.5, 0.5, 0.49)),
    ],
)
def test_trained_weights_keep_their_mean_unless_it_is_middle_grey(
    mean: tuple[float, float, float], fresh: bool, expected: tuple[float, float, float]
) -> None:
    assert suited_mean(mean, fresh=fresh) == expected


def test_a_chain_has_no_crop_of_an_imported_networks_evaluation(ears: Path, tmp_path: Path) -> None:
    config = BuildConfig(link=links(), data=DataConfig(labelled_fraction=0.3), input=InputConfig(crop_pct=0.875))
    index = cached_index(Workspace(tmp_path / "work"), ears, config, skip_bad=False, progress=SilentProgress()).artifact
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="input.crop_pct = 0.875"):
        plan_chain(index, config)
