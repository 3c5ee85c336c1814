"""What the report says of teachers from outside: who they are, how they predict, and whom they taught."""

from __future__ import annotations

from dataclasses import replace

from support import factories
from weckd_edge.artifacts import ChainRecord, NetworkInput, OutsideTeaching, TeacherRecord
from weckd_edge.report.chapters.verdicts import chain_sentence, outside_sentence, taught_by

INPUT = NetworkInput(height=160, width=160, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
OUTSIDE = OutsideTeaching(
    teachers=(TeacherRecord(name="large", sha256=factories.digest("large"), input=INPUT, head="ridge"),),
    folds=5,
    views=2,
    labels_used=57,
    out_of_fold_accuracy=factories.rate(9, 10),
    accuracy=factories.rate(),
    alone_accuracy=None,
    difference=None,
    used=True,
    reason="They teach.",
)
FIRST = factories.link("M1")
LAST = factories.link("M2", parent=FIRST.weights.sha256)
CHAIN = ChainRecord(links=(FIRST, LAST), baseline=None, labels_used=57, outside=OUTSIDE)


def test_the_sentence_names_the_teachers_their_labels_and_the_reason() -> None:
    said = outside_sentence(OUTSIDE)
    for part in ("large at 160 px", "57", "5 folds", "90", "They teach."):
        assert part in said.replace("\u00a0", " ")
    own = replace(OUTSIDE, teachers=(replace(OUTSIDE.teachers[0], head="own"),), folds=0, out_of_fold_accuracy=None)
    assert "its own classifier" in outside_sentence(own)
    assert "Labels" not in outside_sentence(own)
    assert outside_sentence(None) == ""


def test_a_link_is_taught_by_the_one_before_and_by_teachers_that_were_used() -> None:
    assert [taught_by(link, CHAIN) for link in CHAIN.links] == ["no teacher", "M1 and teachers from outside"]
    unused = replace(CHAIN, outside=replace(OUTSIDE, used=False))
    assert [taught_by(link, unused) for link in unused.links] == ["no teacher", "M1"]
    alone = replace(factories.link("M2"), weights=factories.file_reference("alone.safetensors"))
    ended = replace(CHAIN, links=(FIRST, alone), baseline=replace(alone, name="baseline"))
    assert [taught_by(link, ended) for link in ended.trained] == ["no teacher", "no teacher"]
    beside = replace(CHAIN, baseline=replace(alone, name="baseline"))
    assert [link.name for link in beside.trained] == ["M1", "M2", "baseline"]
    assert taught_by(FIRST, replace(CHAIN, import_notes=("from a file",))) == "not known"


def test_the_steps_of_fine_tuned_teachers_are_not_among_those_that_are_called_equal() -> None:
    tuned = replace(OUTSIDE, teachers=(replace(OUTSIDE.teachers[0], head="fine-tune"),))
    found = [
        "those of the teachers not counted" in chain_sentence(replace(CHAIN, baseline=LAST, outside=outside))
        for outside in (tuned, replace(tuned, used=False), OUTSIDE, None)
    ]
    assert found == [True, False, False, False]
