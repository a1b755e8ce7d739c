"""The figure of a comparison has a panel for what was measured, drawn from the reports' own figures."""

import matplotlib
import numpy as np
import pytest
from layout import check_layout
from predictions import softmax_and_labels

from hfmix import RobustnessReport
from hfmix.robustness.axes.calibration import calibration_axis
from hfmix.robustness.axes.clean import clean_axis
from hfmix.robustness.axes.ood import ood_axis
from hfmix.robustness.axes.ood_scores import ood_scores
from hfmix.robustness.axes.selective import selective_axis
from hfmix.robustness.estimates import estimate
from hfmix.robustness.presentation.comparison import comparison_figure
from hfmix.robustness.presentation.style import COLOURS, STYLE

SETS = ["near", "a_set_with_a_name_that_is_too_long", "another_set_whose_name_is_too_long"]


def report(scale):
    logits, _, labels = softmax_and_labels(150)
    log_prob, labels = (logits * scale).log_softmax(1).numpy(), labels.numpy()
    scores = ood_scores(log_prob + 1)
    severities = {str(s): estimate(0.8 - 0.1 * s, (0.7 - 0.1 * s, 0.9 - 0.1 * s), 150) for s in range(1, 6)}
    axes = {
        "clean": clean_axis(log_prob, labels, 0),
        "calibration": calibration_axis(log_prob, labels, 0, 1 / scale),
        "selective": selective_axis(log_prob, labels, 0),
        "corruptions": {"mean_accuracy": estimate(0.5, (0.4, 0.6), 150), "mean_accuracy_by_severity": severities},
        "ood": {name: ood_axis(scores, {key: value[:40] for key, value in scores.items()}, 0) for name in SETS},
    }
    return RobustnessReport({"axes": axes})


@pytest.fixture(scope="module")
def reports():
    return {"erm": report(2.0), "a_run_whose_name_is_long": report(0.5), "regmixup": report(1.0)}


def drawn(reports):
    with matplotlib.rc_context(STYLE):
        found = comparison_figure({name: found.axes for name, found in reports.items()})
        check_layout(found)
        return {ax.get_title(loc="left"): ax for ax in found.axes}


def test_each_axis_has_its_panel(reports):
    panels = drawn(reports)
    names = ["Accuracy", "Calibration error", "Selective prediction", "Noticing out-of-distribution input"]
    assert list(panels) == names
    for line, colour, found in zip(panels["Accuracy"].lines, COLOURS, reports.values(), strict=False):
        expected = [100 * found.axes["clean"]["accuracy"]["value"], 70, 60, 50, 40, 30]
        assert line.get_ydata() == pytest.approx(expected) and line.get_color() == colour
    for line, found in zip(panels["Selective prediction"].lines, reports.values(), strict=True):
        curve = found.axes["selective"]["risk_coverage_curve"]
        assert np.allclose(line.get_xydata(), 100 * np.column_stack([curve["coverage"], curve["risk"]]))
    heights = [bar.get_height() for bar in panels["Calibration error"].patches]
    calibration = [found.axes["calibration"] for found in reports.values()]
    expected = [[c["ece_15"]["value"], c["temperature_scaled"]["ece_15"]["value"]] for c in calibration]
    assert heights == pytest.approx(100 * np.ravel(expected))
    heights = [bar.get_height() for bar in panels["Noticing out-of-distribution input"].patches]
    auroc = [found.axes["ood"][name]["msp"]["auroc"]["value"] for found in reports.values() for name in SETS]
    assert heights == pytest.approx(100 * np.array(auroc))


@pytest.mark.parametrize("count", [4, 8])
def test_many_runs_can_be_read(reports, count):
    many = {f"run number {i}": list(reports.values())[i % 3] for i in range(count)}
    numbers = [text.get_text() for text in drawn(many)["Calibration error"].texts]
    assert len(numbers) == (8 if count == 4 else 0)


def test_what_nobody_measured_has_no_panel(reports):
    some = {name: RobustnessReport({"axes": {"clean": found.axes["clean"]}}) for name, found in reports.items()}
    assert list(drawn(some)) == ["Accuracy"]
    several = RobustnessReport({"axes": {"clean": {"mean_average_precision": estimate(0.5, (0.4, 0.6), 9)}}})
    panels = drawn({"one": several})
    assert list(panels) == ["Classes found"] and panels["Classes found"].patches[0].get_height() == 50
