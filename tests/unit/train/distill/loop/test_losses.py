"""The teaching terms against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from support.errors import raises
from weckd_edge.core.errors import ConfigError
from weckd_edge.train.distill.loop.losses import (
    SOFT_LOSSES,
    annealed_temperature,
    choose_soft_loss,
    decoupled_loss,
    evidence,
    labelled_cross_entropy,
    soft_target_loss,
    spatial_attention_loss,
)


def test_soft_targets_vanish_for_equal_logits_and_grow_with_distance() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert soft_target_loss(logits, logits, 3.0).item() == pytest.approx(0, abs=1e-6)
    assert soft_target_loss(logits, -logits, 3.0) > soft_target_loss(logits, 0.5 * logits, 3.0) > 0


def test_soft_targets_match_the_definition() -> None:
    student, teacher, temperature = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), 2.0
    p = (teacher / temperature).softmax(1)
    q = (student / temperature).softmax(1)
    expected = float((p * (p / q).log()).sum()) * temperature**2
    assert soft_target_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_keeps_its_scale_over_temperatures() -> None:
    """T squared is there for this: at high T the gradient tends to a constant, not to zero."""
    norms = []
    for temperature in (10.0, 40.0):
        student = torch.tensor([[0.5, -0.5, 0.0]], requires_grad=True)
        soft_target_loss(student, torch.tensor([[0.0, 1.0, -1.0]]), temperature).backward()
        assert student.grad is not None
        norms.append(float(student.grad.norm()))
    assert norms[0] == pytest.approx(norms[1], rel=0.1)


def test_evidence_is_where_features_are_large_and_its_scale_does_not_count() -> None:
    features = torch.rand(2, 8, 4, 5, generator=torch.Generator().manual_seed(1))
    found = evidence(features)
    assert found.shape == (2, 1, 4, 5)
    assert torch.allclose(found[:, 0], (features**2).mean(1))
    assert spatial_attention_loss(found, evidence(7 * features)).item() == pytest.approx(0, abs=1e-6)


def test_attention_of_the_same_place_costs_nothing_at_any_width_or_size() -> None:
    place = torch.zeros(1, 1, 4, 4)
    place[..., :2, :2] = 1
    here = evidence(place.repeat(1, 3, 1, 1))
    same = spatial_attention_loss(here, evidence(5 * place.repeat(1, 16, 1, 1)))
    moved = spatial_attention_loss(here.flip(3), evidence(place.repeat(1, 16, 1, 1)))
    larger = torch.zeros(1, 6, 8, 8)
    larger[..., :4, :4] = 1
    resized = spatial_attention_loss(here, evidence(larger))
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert moved.item() == pytest.approx(2, abs=1e-4)
    assert resized.item() < 0.2 < moved.item()


def test_temperature_falls_from_start_to_end() -> None:
    assert [annealed_temperature(4, 1, p) for p in (0.0, 0.5, 1.0, 2.0)] == [4, 2.5, 1, 1]


def test_unlabelled_images_teach_no_label() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    loss = labelled_cross_entropy(logits, torch.tensor([0, -1, 2, -1]))
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[1].abs().sum() == logits.grad[3].abs().sum() == 0
    assert logits.grad[0].abs().sum() > 0
    assert labelled_cross_entropy(logits, torch.full((4,), -1)).item() == 0
    assert math.isfinite(loss.item())


def random_logits(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(6, classes, generator=generator), torch.randn(6, classes, generator=generator)


@pytest.mark.parametrize("name", SOFT_LOSSES)
def test_every_loss_is_zero_where_the_student_says_what_the_teacher_says(name: str) -> None:
    student, teacher = random_logits(4)
    loss = choose_soft_loss(name, 4)
    assert loss(teacher, teacher, 2.0).item() == pytest.approx(0, abs=1e-5)
    assert loss(student, teacher, 2.0).item() > 0.01


@pytest.mark.parametrize("name", SOFT_LOSSES)
def test_every_loss_leads_a_student_to_its_teachers_decisions(name: str) -> None:
    student, teacher = random_logits(4)
    student = student.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([student], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        choose_soft_loss(name, 4)(student, teacher, 2.0).backward()
        optimizer.step()
    assert torch.equal(student.argmax(1), teacher.argmax(1))


def test_decoupled_equals_plain_soft_targets_with_two_classes() -> None:
    student, teacher = random_logits(2)
    assert decoupled_loss(student, teacher, 3.0).item() == pytest.approx(
        soft_target_loss(student, teacher, 3.0).item(), rel=1e-5
    )


def test_decoupled_with_unit_weights_by_its_parts() -> None:
    """Equation 7 of the paper: KL = TCKD + (1 - p_target) * NCKD."""
    student, teacher = random_logits(4)
    one, other = student[:1], teacher[:1]
    first = decoupled_loss(one, other, 1.0, beta=0.0)
    rest = decoupled_loss(one, other, 1.0, beta=1.0) - first
    missing = 1 - other.softmax(1).max()
    assert (first + missing * rest).item() == pytest.approx(soft_target_loss(one, other, 1.0).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["dist", "standardised"])
def test_losses_that_say_nothing_about_two_classes_are_refused(name: str) -> None:
    student, teacher = random_logits(2)
    flipped = SOFT_LOSSES[name](5 * student, teacher, 2.0)
    if name == "standardised":
        assert flipped.item() == pytest.approx(SOFT_LOSSES[name](student, teacher, 2.0).item(), abs=1e-4)
    with raises(ConfigError, "E_CONFIG_CONFLICT", says=("'kl'", "'dkd'")):
        choose_soft_loss(name, 2)


def test_an_unknown_loss_is_reported() -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'dkd'"):
        choose_soft_loss("dkdd", 3)
