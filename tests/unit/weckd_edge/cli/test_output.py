"""How tables and sentences take the width of a terminal."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weckd_edge.cli.console.output import break_line, fit_widths

WORDS = st.lists(st.text("abc-_", min_size=1, max_size=12), min_size=1, max_size=4).map(" ".join)
COLUMNS = st.lists(st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=5)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(columns=COLUMNS, space=st.integers(5, 120))
def test_columns_fit_and_no_word_is_broken_where_all_words_fit(columns: list[list[str]], space: int) -> None:
    widths = fit_widths(columns, space)
    longest = [max(len(word) for text in texts for word in text.split()) for texts in columns]
    assert sum(widths) <= max(space, len(columns))
    assert all(width >= 1 for width in widths)
    if sum(longest) <= space:
        assert all(width >= least for width, least in zip(widths, longest, strict=True))


def test_a_table_that_fits_keeps_its_widths_and_the_widest_text_gives_way_first() -> None:
    columns = [["device", "jetson-orin-nano-8gb"], ["processor", "GPU, 8 SM and more"], ["GiB", "8"]]
    assert fit_widths(columns, 41) == [20, 18, 3]
    assert fit_widths(columns, 36) == [20, 13, 3]
    assert fit_widths(columns, 20)[0] < 20


def test_a_sentence_is_broken_between_words_and_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback=None: os.terminal_size((20, 24)))
    text = "look at /a/path/longer-than-a/line now and then"
    assert break_line(text, io.StringIO()) == text
    assert break_line(text, Terminal()).splitlines() == ["look at", "  /a/path/longer-than-a/line", "  now and then"]
    assert break_line("", Terminal()) == ""
