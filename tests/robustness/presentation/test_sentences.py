"""The sentences say what the figures are."""

from hfmix.robustness.presentation import sentences


def figure(value):
    return {"value": value, "ci95": [value, value], "n": 10}


def test_sentences_follow_the_estimates():
    axes = {
        "clean": {"accuracy": figure(0.9)},
        "calibration": {
            "mean_confidence": figure(0.95),
            "ece_15": figure(0.08),
            "temperature_scaled": {"temperature": 1.25, "ece_15": figure(0.02)},
        },
        "selective": {"risk_at_coverage_80": figure(0.03)},
        "corruptions": {"accuracy": {"fog": {"5": figure(0.7)}, "snow_x": {"5": figure(0.2)}}},
        "ood": {"svhn": {"msp": {"fpr95_ood_positive": figure(0.4)}}},
    }
    assert sentences(axes, str.upper) == [
        "Snow x hurts it most: accuracy 20.0 [20.0, 20.0] % at severity 5.",
        "On clean input it is over-confident: its mean confidence lies 5.0 points above its accuracy.",
        "Temperature scaling (logits divided by 1.25, fitted on validation data) "
        "takes its ECE from 8.0 [8.0, 8.0] % to 2.0 [2.0, 2.0] %.",
        "On the 80 % of the input that it is most confident of, it errs 3.0 [3.0, 3.0] % of the time; "
        "on all of it, 10.0 %.",
        "To notice 95 % of SVHN by low confidence, "
        "it would also flag 40.0 [40.0, 40.0] % of in-distribution input.",
    ]


def test_what_was_not_measured_has_no_sentence():
    assert sentences({"clean": {"accuracy": figure(0.9)}}) == []
