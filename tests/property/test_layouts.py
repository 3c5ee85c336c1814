"""However its folders are called and wrapped, a data set is the same one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from weckd_edge.train.data.listing import list_data

WORDS = {
    "train": ("train", "training", "trainset"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "testset", "holdout"),
}
CASES = (str, str.title, str.upper)
PATTERNS = ("{}", "{}_set", "set_{}", "{} images", "seg-{}", "01_{}", "{}2024", "my_ears_{}")
WRAPS = ("{}", "data/{}", "a/b/{}", "{0}/{0}", "{}/images")
JUNK = ("__MACOSX/x.jpg", ".DS_Store", "Thumbs.db", "README.md", ".git/config")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_data_set_is_the_same_whatever_its_splits_are_called(data: st.DataObject) -> None:
    splits = data.draw(st.sampled_from([("train", "test"), ("train", "val"), ("train", "val", "test")]))
    labels = data.draw(st.lists(st.sampled_from(["normal", "wax", "test", "3", "a_mask", "Été"]), min_size=2, unique=True))
    case, pattern, wrap = (data.draw(st.sampled_from(choice)) for choice in (CASES, PATTERNS, WRAPS))
    folders = {split: wrap.format(pattern.format(case(data.draw(st.sampled_from(WORDS[split]))))) for split in splits}
    with TemporaryDirectory() as name:
        root = Path(name)
        wanted = {f"{folder}/{label}/1.png": (label, split) for split, folder in folders.items() for label in labels}
        for path in (*wanted, *data.draw(st.lists(st.sampled_from(JUNK), unique=True))):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"")
        assert {image.path: (image.label, image.published_split) for image in list_data(root).images} == wanted
