"""What is drawn and said of what happens in between comes from the axis."""

import json

import matplotlib
import numpy as np
import pytest
import torch
from in_between import many_classes, measure, mlp
from layout import check_layout
from matplotlib.figure import Figure

from hfmix import RobustnessReport
from hfmix.robustness.presentation import CONVENTIONS
from hfmix.robustness.presentation.interpolation import compare_interpolation, draw_interpolation
from hfmix.robustness.presentation.style import COLOURS, STYLE

LAMBDA = np.linspace(0, 1, 11)


@pytest.fixture(scope="module")
def axes():
    data = many_classes(80, 4)
    sharp = mlp(4)
    with torch.no_grad():
        sharp[2].weight.mul_(5)
    return [measure(model, data, 40, batch_size=40)[0] for model in (mlp(4), sharp)]


def test_every_figure_has_a_convention_and_the_axis_is_plain_json(axes):
    report = RobustnessReport({"axes": {"interpolation": axes[0]}})
    names = [path.removeprefix("interpolation/") for path, _ in report.estimates()]
    assert len(names) == 10 and set(names) <= set(CONVENTIONS)
    assert json.loads(json.dumps(axes[0], allow_nan=False)) == axes[0]
    for curve in (curve for name, curve in axes[0]["curves"].items() if name != "lambda"):
        assert all(
            low <= value <= high
            for low, value, high in zip(*(curve[k] for k in ("low", "value", "high")), strict=True)
        )


def test_the_figure_shows_the_curves(axes):
    with matplotlib.rc_context(STYLE):
        drawn = draw_interpolation(axes[0])
        check_layout(drawn)
    names = ("miss_rate", "gradient_norm", "entropy_between", "cross_entropy_between")
    for ax, name, factor in zip(drawn.axes, names, (100, 1, 1, 1), strict=True):
        line, curve = ax.lines[0], axes[0]["curves"][name]
        assert line.get_xdata() == pytest.approx(LAMBDA)
        assert line.get_ydata() == pytest.approx(factor * np.array(curve["value"]))
        assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > factor * max(curve["high"])
    labels = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert labels == ["all pairs", "two classes", "one class"]


def test_models_are_compared_by_their_misses(axes):
    runs = {"a": {"interpolation": axes[0]}, "without": {}, "b": {"interpolation": axes[1]}}
    with matplotlib.rc_context(STYLE):
        figure = Figure(layout="constrained")
        ax = figure.subplots()
        compare_interpolation(ax, runs)
        check_layout(figure)
    assert [line.get_color() for line in ax.lines] == [COLOURS[0], COLOURS[2]]
    for line, axis in zip(ax.lines, axes, strict=True):
        assert line.get_ydata() == pytest.approx(100 * np.array(axis["curves"]["miss_rate"]["value"]))
