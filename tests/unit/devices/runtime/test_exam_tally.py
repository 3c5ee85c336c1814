"""The tally of an examination: exact sums, one decision, and when it has seen enough."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from weckd_edge.artifacts import LARGEST_EVIDENCE, ONE, ExamRule, FrameWeights
from weckd_edge.devices.runtime.exam_tally import ExamTally, frame_evidence

FRAMES = [(0.7, 0.2, 0.1), (0.1, 0.6, 0.3), (0.5, 0.3, 0.2), (0.2, 0.2, 0.6)]


def tally(rule: ExamRule, frames=FRAMES, sharpness=(4.0, 3.0, 2.0, 1.0)) -> ExamTally:
    made = ExamTally(rule, len(frames[0]))
    for frame, sharp in zip(frames, sharpness, strict=True):
        made.add([float(np.float32(value)) for value in frame], sharp)
    return made


def test_the_probabilities_are_the_softmax_of_the_mean_logarithms():
    found = tally(ExamRule(scale=1.5)).probabilities()
    logits = 1.5 * np.log(np.array(FRAMES)).mean(axis=0)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert found.best == int(logits.argmax())
    assert found.probabilities == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("rule", [ExamRule(), ExamRule(evidence="vote"), ExamRule(top_k=3)])
def test_the_order_of_the_frames_changes_no_bit(rule):
    pairs = list(zip(FRAMES, (4.0, 3.0, 2.0, 1.0), strict=True))
    found = {tally(rule, *zip(*order, strict=True)).probabilities() for order in itertools.permutations(pairs)}
    assert len(found) == 1


def test_a_vote_counts_heads():
    found = tally(ExamRule(evidence="vote", scale=1.0)).probabilities()
    logits = [-2 / 4, -3 / 4, -3 / 4]
    assert found.probabilities == pytest.approx([math.exp(x) / sum(map(math.exp, logits)) for x in logits])


def test_only_the_best_frames_count_and_of_equal_ones_the_first():
    sharpest = tally(ExamRule(top_k=1)).probabilities()
    assert sharpest.probabilities == pytest.approx(FRAMES[0], abs=1e-4)
    most_sure = tally(ExamRule(top_k=1, rank="confidence"), [(0.2, 0.8), (0.8, 0.2)], (1.0, 2.0)).probabilities()
    assert most_sure.best == 1


def test_a_heavy_frame_outweighs_light_ones():
    weights = FrameWeights(sharpness_edges=(3.5,), confidence_edges=(0.5,), table=((1, 1), (1, 200)))
    found = tally(ExamRule(weights=weights)).probabilities()
    assert found.probabilities == pytest.approx(FRAMES[0], abs=0.01)
    assert frame_evidence(ExamRule(weights=weights), (0.4, 0.4, 0.2), 4.0).weight == 1


def test_impossible_and_certain_labels_stay_within_the_evidence_of_one_frame():
    evidence = frame_evidence(ExamRule(), (1.0, 0.0, 1e-30), 0.0).evidence
    assert evidence == (0, -LARGEST_EVIDENCE, -LARGEST_EVIDENCE)


def test_no_frame_and_too_few_frames_and_an_unsure_examination_give_no_decision():
    assert ExamTally(ExamRule(), 3).probabilities().best is None
    assert not tally(ExamRule(min_frames=5)).probabilities().is_decided
    assert tally(ExamRule(min_frames=4)).probabilities().is_decided
    assert not tally(ExamRule(confidence_threshold=0.9)).probabilities().is_decided


def test_frames_of_no_weight_are_no_evidence():
    weights = FrameWeights(sharpness_edges=(), confidence_edges=(), table=((0,),))
    found = tally(ExamRule(weights=weights))
    assert found.probabilities().best is None
    assert not found.is_complete


def test_frames_beyond_the_last_change_nothing():
    whole, longer = tally(ExamRule(max_frames=3)), tally(ExamRule(max_frames=3), [*FRAMES, *FRAMES], (1.0,) * 8)
    assert longer.counted == 3
    assert whole.is_complete
    assert longer.probabilities() == tally(ExamRule(max_frames=3), FRAMES[:3], (1.0,) * 3).probabilities()


@pytest.mark.parametrize("evidence", ["vote", "log_probability"])
def test_an_examination_that_has_seen_enough_keeps_its_decision_whatever_comes(evidence):
    rule = ExamRule(evidence=evidence, max_frames=30, confidence_threshold=0.5, scale=3.0)
    sure, against = (0.999999, 5e-7, 5e-7), (0.0, 1.0, 0.0)
    made = ExamTally(rule, 3)
    while not made.is_complete:
        made.add(sure, 1.0)
    assert 1 < made.counted < 30
    said = [np.array(frame_evidence(rule, frame, 1.0).evidence) / ONE for frame in (sure, against)]
    logits = rule.scale * (made.counted * said[0] + (30 - made.counted) * said[1]) / 30
    whole = np.exp(logits) / np.exp(logits).sum()
    assert whole.argmax() == 0
    assert whole[0] >= rule.confidence_threshold


def test_frames_after_enough_change_nothing():
    made = ExamTally(ExamRule(stop_lead=1), 3)
    made.add(FRAMES[0], 1.0)
    before = made.probabilities()
    made.add(FRAMES[1], 9.0)
    assert made.is_complete
    assert (made.counted, made.probabilities()) == (1, before)


def test_a_lead_that_was_enough_on_validation_examinations_is_enough():
    lead = ONE // 2
    made = ExamTally(ExamRule(stop_lead=lead), 3)
    made.add((0.4, 0.35, 0.25), 1.0)
    assert not made.is_complete
    made.add((0.6, 0.3, 0.1), 1.0)
    assert made.is_complete
    assert not tally(ExamRule(stop_lead=lead, confidence_threshold=0.99)).is_complete
