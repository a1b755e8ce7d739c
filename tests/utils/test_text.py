"""Text for the terminal and for errors."""

import pytest

from hfmix.utils.errors import one_line
from hfmix.utils.text import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (7169, "119 min"), (7171, "2.0 h"), (9000, "2.5 h")],
)
def test_a_duration_is_in_the_unit_that_fits_it(seconds, text):
    assert duration(seconds) == text


def test_an_error_is_one_line_and_never_empty():
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
