"""mCE against its definition and the published baseline."""

import numpy as np
import pytest

from hfmix import corruption_names
from hfmix.metrics import mean_corruption_error, relative_mean_corruption_error
from hfmix.robustness.axes.corruptions import ALEXNET_CLEAN_ERROR, ALEXNET_ERRORS

# AlexNet by severity (hendrycks/robustness, issue 10)
BY_SEVERITY = {
    "gaussian_noise": [0.69528, 0.82542, 0.93554, 0.98138, 0.99452],
    "motion_blur": [0.5843, 0.70048, 0.82108, 0.8975, 0.92638],
    "brightness": [0.4514, 0.48502, 0.54048, 0.62166, 0.7244],
    "pixelate": [0.52218, 0.5462, 0.73728, 0.87092, 0.91262],
}


def test_the_baseline_is_that_of_the_fifteen_corruptions():
    validation = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert len(ALEXNET_ERRORS) == 15 and set(corruption_names("image")) - set(ALEXNET_ERRORS) <= validation
    for name, errors in BY_SEVERITY.items():
        assert ALEXNET_ERRORS[name] == pytest.approx(np.mean(errors), abs=1e-6)


def test_the_mean_is_over_ratios():
    rng = np.random.default_rng(0)
    errors = {name: rng.random(5) for name in (*ALEXNET_ERRORS, "saturate")}
    sums = [errors[name].sum() / (5 * alexnet) for name, alexnet in ALEXNET_ERRORS.items()]
    assert mean_corruption_error(errors, ALEXNET_ERRORS) == pytest.approx(np.mean(sums), abs=1e-12)
    relative = [
        (errors[name] - 0.2).sum() / (5 * (alexnet - ALEXNET_CLEAN_ERROR))
        for name, alexnet in ALEXNET_ERRORS.items()
    ]
    found = relative_mean_corruption_error(errors, 0.2, ALEXNET_ERRORS, ALEXNET_CLEAN_ERROR)
    assert found == pytest.approx(np.mean(relative), abs=1e-12)


def test_the_baseline_itself_has_one():
    baseline = {name: ALEXNET_ERRORS[name] for name in BY_SEVERITY}
    assert mean_corruption_error(BY_SEVERITY, baseline) == pytest.approx(1, abs=1e-6)
    found = relative_mean_corruption_error(BY_SEVERITY, ALEXNET_CLEAN_ERROR, baseline, ALEXNET_CLEAN_ERROR)
    assert found == pytest.approx(1, abs=1e-5)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="shot_noise is missing"):
        mean_corruption_error(BY_SEVERITY, ALEXNET_ERRORS)
    with pytest.raises(ValueError, match=r"in \[0, 1\], those of fog are \[50.0\]"):
        mean_corruption_error({"fog": [50.0]}, {"fog": 0.8})
    with pytest.raises(ValueError, match="same number of severities"):
        mean_corruption_error({"fog": [0.5], "snow": [0.1, 0.2]}, {"fog": 0.8, "snow": 0.8})
    with pytest.raises(ValueError, match=r"those of clean are \[23.9\]"):
        relative_mean_corruption_error({"fog": [0.5]}, 23.9, {"fog": 0.8}, 0.435)
    with pytest.raises(ValueError, match="not above its clean error"):
        relative_mean_corruption_error({"fog": [0.5]}, 0.2, {"fog": 0.4}, 0.435)
