"""Durations of `stop_after`. That a run stops and goes on bit-equal is tested with the sweep."""

import pytest

from hfmix.cli import main
from hfmix.training.callbacks.stop_after import read_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("150m", 9000), ("2.5h", 9000), (" 2 MIN ", 120), ("45", 45), (0.5, 0.5)]
)
def test_durations_are_read(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["0", "-3m", "soon", "2 days", "1h30", "", "nan", "1e3"])
def test_what_is_no_duration_is_named(text):
    with pytest.raises(ValueError, match=r"stop_after is a duration above 0 such as 90s, 150m or 2\.5h, not"):
        read_duration(text)


def test_a_wrong_one_is_a_wrong_option(capsys):
    assert main(["sweep", "recipe.yaml", "--out", "out", "--stop_after", "soon"]) == 2
    assert "stop_after is a duration" in capsys.readouterr().err
