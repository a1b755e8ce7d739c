"""Means and differences over seeds, from reports made by hand."""

import matplotlib
import numpy as np
import pytest
from layout import check_layout

from hfmix.robustness.across_seeds import over_seeds, shown_headlines, summarise, sweep_text
from hfmix.robustness.estimates import estimate
from hfmix.robustness.presentation.style import COLOURS, STYLE
from hfmix.robustness.presentation.sweep import sweep_figure
from hfmix.robustness.report import RobustnessReport


def report(accuracy, data="a", **axes):
    clean = {"accuracy": estimate(accuracy, (accuracy - 0.1, accuracy + 0.1), 50)}
    return RobustnessReport({"data": {"fingerprint_sha256": data}, "seed": 0, "axes": {"clean": clean, **axes}})


def detection(auroc):
    found = {key: estimate(auroc, (auroc, auroc), 50) for key in ("auroc", "fpr95_ood_positive")}
    return {"far": {"fingerprint_sha256": "b", "msp": found}}


REPORTS = {
    "erm": {0: report(0.90), 1: report(0.92), 2: report(0.94, ood=detection(0.7))},
    "mixup": {1: report(0.93), 2: report(0.95), 3: report(0.97)},
    "other_data": {0: report(0.5, "c")},
    "third": {0: report(0.6, "c"), 1: report(0.99, "d")},
    "never_finished": {},
}


def test_differences_are_taken_seed_by_seed_on_the_same_data():
    found = summarise(REPORTS)
    assert list(found) == ["erm", "mixup", "other_data", "third"]
    assert found["erm"]["figures"]["clean/accuracy"]["mean"] == pytest.approx(0.92)
    # Student: t(2) = 4.302653, s = 0.02
    assert found["erm"]["figures"]["clean/accuracy"]["ci95"] == pytest.approx(
        [0.92 - 4.302653 * 0.02 / 3**0.5, 0.92 + 4.302653 * 0.02 / 3**0.5], abs=1e-8
    )
    difference = found["mixup"]["difference"]
    assert (difference["to"], difference["seeds"]) == ("erm", [1, 2])
    # not 0.95 - 0.92: seed 0 has no pair, seed 3 neither
    assert difference["figures"]["clean/accuracy"]["mean"] == pytest.approx(0.01)
    assert list(difference["figures"]) == ["clean/accuracy"]
    assert (found["third"]["difference"]["to"], found["third"]["difference"]["seeds"]) == ("other_data", [0])
    assert "difference" not in found["other_data"]


def test_the_text_says_how_many_seeds_and_what_excludes_zero():
    text = sweep_text(summarise(REPORTS), shown_headlines(REPORTS))
    rows = {line.split("|")[1].strip(): line for line in reversed(text.splitlines()) if line.startswith("|")}
    assert "| 92.0 ± 5.0" in rows["erm"] and "| 70.0 (of 1 seed)" in rows["erm"]
    assert "| 50.0 " in rows["other_data"]  # one seed: no interval
    lines = [line for line in text.splitlines() if line.startswith("| mixup")]
    assert "erm" in lines[1] and "| +1.0 ± 0.0 *" in lines[1]


def test_the_interval_holds_the_truth_95_times_in_a_hundred():
    """Of the means of 3 normal values: 4,000 draws, so within ±1.4 % of 95 % (four standard errors)."""
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 3))
    held = [low <= 3.0 <= high for low, high in (over_seeds(dict(enumerate(row)))["ci95"] for row in draws)]
    assert abs(np.mean(held) - 0.95) < 0.014


@pytest.mark.parametrize("count", [1, 14])
def test_the_figure_shows_means_intervals_and_seeds(count):
    reports = {
        f"recipe_{i}_{'long' * (i % 3)}": {s: report(0.5 + 0.01 * (i + s)) for s in range(3)} for i in range(count)
    }
    reports["elsewhere"] = {0: report(0.7, "z")}
    found, shown = summarise(reports), shown_headlines(reports)
    with matplotlib.rc_context(STYLE):
        drawn = sweep_figure(found, shown)
        check_layout(drawn)
    (ax,) = drawn.axes
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "elsewhere"
    dots, first_mean = ax.lines[0], ax.lines[1]
    assert dots.get_xdata() == pytest.approx([50.0, 51.0, 52.0]) and first_mean.get_xdata() == pytest.approx(
        [51.0]
    )
    assert ax.lines[-1].get_color() == COLOURS[0]  # the first of its data


def test_a_long_title_keeps_its_unit_together():
    reports = {"erm": {0: report(0.9, ood={"of a distant kind": detection(0.7)["far"]})}}
    drawn = sweep_figure(summarise(reports), shown_headlines(reports))
    titles = [ax.get_title() for ax in drawn.axes]
    assert "OOD of a distant kind\nAUROC, % ↑" in titles and "accuracy, % ↑" in titles
