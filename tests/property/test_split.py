"""Whatever the groups are: none is cut, shares are disjoint, every class is everywhere, and order does not matter."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.errors import raises
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.data.published import keeps_published
from weckd_edge.train.data.split import Placement, SplitItem, split_fold, split_images

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


@st.composite
def data_sets(draw: st.DrawFn, smallest: int = 5) -> list[SplitItem]:
    """Draw 2 to 4 classes of ``smallest`` to 20 pure groups, and some groups that hold two classes."""
    items = []
    classes = [f"c{i}" for i in range(draw(st.integers(2, 4)))]
    for label in classes:
        sizes = draw(st.lists(st.integers(1, 9), min_size=smallest, max_size=20))
        items += [SplitItem(label=label, group=f"{label}-{i}") for i, size in enumerate(sizes) for _ in range(size)]
    for i in range(draw(st.integers(0, 4))):
        pair = draw(st.permutations(classes))[:2]
        items += [SplitItem(label=label, group=f"mixed-{i}") for label in pair for _ in range(draw(st.integers(1, 5)))]
    return items


CONFIGS = st.builds(
    DataConfig,
    labelled_fraction=st.floats(0.05, 1 / 3),
    test_fraction=st.floats(0.1, 0.3),
    val_fraction=st.floats(0.05, 0.2),
)


def assert_whole_and_everywhere(items: list[SplitItem], places: Sequence[Placement], subsets: int) -> None:
    """Check that no group is cut, and that every class is in the test split, in validation and in each labelled subset."""
    of_group: dict[str, set[Placement]] = defaultdict(set)
    classes: dict[Placement, set[str]] = defaultdict(set)
    for item, place in zip(items, places, strict=True):
        of_group[item.group].add(place)
        classes[place].add(item.label)
    assert all(len(found) == 1 for found in of_group.values())
    every = {item.label for item in items}
    wanted = [
        Placement(split="test"),
        Placement(split="val"),
        *(Placement(split="train", labelled_subset=k) for k in range(subsets)),
    ]
    assert all(classes[place] == every for place in wanted)


@SETTINGS
@given(items=data_sets(), config=CONFIGS, seed=st.integers(0, 99))
def test_groups_stay_whole_and_every_class_is_everywhere(items: list[SplitItem], config: DataConfig, seed: int) -> None:
    places = split_images(items, config, labelled_subsets=3, seed=seed)
    assert_whole_and_everywhere(items, places, 3)
    assert all(place.labelled_subset is None for place in places if place.split != "train")


@SETTINGS
@given(items=data_sets(), config=CONFIGS, seed=st.integers(0, 99), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_listing_is_irrelevant(
    items: list[SplitItem], config: DataConfig, seed: int, shuffle: random.Random
) -> None:
    before = dict(
        zip([item.group for item in items], split_images(items, config, labelled_subsets=2, seed=seed), strict=True)
    )
    shuffled = list(items)
    shuffle.shuffle(shuffled)
    after = split_images(shuffled, config, labelled_subsets=2, seed=seed)
    assert dict(zip([item.group for item in shuffled], after, strict=True)) == before


@SETTINGS
@given(items=data_sets(smallest=18), config=CONFIGS, seed=st.integers(0, 99))
def test_fractions_are_met_within_about_one_group(items: list[SplitItem], config: DataConfig, seed: int) -> None:
    found = Counter(place.split for place in split_images(items, config, labelled_subsets=1, seed=seed))
    classes = len({item.label for item in items})
    for split, fraction in (("test", config.test_fraction), ("val", config.val_fraction)):
        assert abs(found[split] - fraction * len(items)) <= 6 * classes


@SETTINGS
@given(items=data_sets(), seed=st.integers(0, 99))
def test_a_published_test_split_is_kept(items: list[SplitItem], seed: int) -> None:
    first = {item.label: item.group for item in reversed(items) if not item.group.startswith("mixed")}
    named = [
        SplitItem(
            label=item.label,
            group=item.group,
            published_split="test" if item.group == first.get(item.label) else "train",
        )
        for item in items
    ]
    places = split_images(named, DataConfig(), labelled_subsets=2, seed=seed, published=True)
    for item, place in zip(named, places, strict=True):
        assert (place.split == "test") == (item.published_split == "test")
    assert {place.split for place in places} == {"train", "val", "test"}


def pure(groups: dict[str, int]) -> list[SplitItem]:
    return [SplitItem(label=label, group=f"{label}{i}") for label, count in groups.items() for i in range(count)]


def test_a_class_with_too_few_groups_is_named_with_what_it_needs() -> None:
    with raises(DataError, "E_DATA_SMALL_CLASS", says=("'rare'", "4", "5")):
        split_images(pure({"plenty": 30, "rare": 4}), DataConfig(), labelled_subsets=3, seed=0)


def test_classes_tied_into_too_few_groups_are_refused_in_words() -> None:
    tied = [SplitItem(label=label, group=f"g{i}") for i in range(5) for label in "ab"] + pure({"c": 5})
    assert len(set(split_images(tied, DataConfig(), labelled_subsets=3, seed=0))) == 5
    crossed = [SplitItem(label=a, group=a + b) for a, b in ("ab", "bc", "ca")] + [
        SplitItem(label=b, group=a + b) for a, b in ("ab", "bc", "ca")
    ]
    with raises(DataError, "E_DATA_SMALL_CLASS", "E_DATA_SPLIT"):
        split_images(crossed, DataConfig(), labelled_subsets=1, seed=0)


@pytest.mark.parametrize("missing", ["test", "val"])
def test_a_published_split_without_a_class_or_a_name_is_refused(missing: str) -> None:
    items = [
        SplitItem(label=label, group=f"{label}{i}", published_split=split)
        for label in "ab"
        for i, split in enumerate(["train"] * 6 + ["val", "test"])
        if not (label == "b" and split == missing)
    ]
    config = DataConfig(use_published_split=True)
    with raises(DataError, "E_DATA_PUBLISHED_SPLIT", says=(f"{missing}", "'b'")):
        keeps_published([item.label for item in items], [item.published_split for item in items], config)
    with raises(DataError, "E_DATA_PUBLISHED_SPLIT", says="16"):
        keeps_published(["a"] * 8 + ["b"] * 8, [None] * 16, config)


def test_another_seed_deals_otherwise() -> None:
    items = pure({"a": 40, "b": 40})
    assert split_images(items, DataConfig(), labelled_subsets=2, seed=0) != split_images(
        items, DataConfig(), labelled_subsets=2, seed=1
    )


@SETTINGS
@given(items=data_sets(smallest=16), count=st.integers(2, 4), seed=st.integers(0, 99))
def test_each_image_is_tested_in_one_fold_and_no_group_is_cut(items: list[SplitItem], count: int, seed: int) -> None:
    config = DataConfig(labelled_fraction=0.2)
    tested: Counter[int] = Counter()
    for number in range(1, count + 1):
        fold = Fold(number=number, count=count)
        places = split_fold(items, config, fold, labelled_subsets=2, seed=seed)
        assert_whole_and_everywhere(items, places, 2)
        tested.update(at for at, place in enumerate(places) if place.split == "test")
    assert tested == Counter(range(len(items)))


@SETTINGS
@given(items=data_sets(smallest=16), seed=st.integers(0, 99))
def test_folds_do_not_depend_on_the_order_of_the_images(items: list[SplitItem], seed: int) -> None:
    fold, config = Fold(number=2, count=3), DataConfig(labelled_fraction=0.2)
    order = list(range(len(items)))
    random.Random(seed).shuffle(order)
    places = split_fold(items, config, fold, labelled_subsets=2, seed=seed)
    shuffled = split_fold([items[at] for at in order], config, fold, labelled_subsets=2, seed=seed)
    assert shuffled == tuple(places[at] for at in order)


def test_more_folds_than_groups_of_a_class_are_refused() -> None:
    items = [SplitItem(label=label, group=f"{label}{i}") for label in ("a", "b") for i in range(4)]
    with raises(DataError, "E_DATA_SMALL_CLASS", says=("5 folds", "fewer folds")):
        split_fold(items, DataConfig(), Fold(number=1, count=5), labelled_subsets=1, seed=0)
