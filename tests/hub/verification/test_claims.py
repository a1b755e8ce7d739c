"""A report beside another one of the same model: what is edited is found, what the processor flips is not."""

import copy

import numpy as np
import pytest

from hfmix import RobustnessReport
from hfmix.hub.verification import claims as claims_room
from hfmix.hub.verification.claims import Claim, check_estimates, compare_reports
from hfmix.metrics import wilson_interval
from hfmix.robustness.axes.calibration import calibration_axis
from hfmix.robustness.estimates import estimate


@pytest.fixture(scope="module")
def report(finished_run) -> RobustnessReport:
    return RobustnessReport.load(finished_run)


def edited(report: RobustnessReport, path: str, change) -> RobustnessReport:
    """A copy in which what is at `path` is `change(what was there)`."""
    content = copy.deepcopy(report.content)
    *above, last = path.split("/")
    node = content
    for key in above:
        node = node[key]
    node[last] = change(node.get(last))
    return RobustnessReport(content)


def failed(claims: list[Claim]) -> list[str]:
    return [claim.name for claim in claims if claim.verdict == "failed"]


def test_a_report_holds_against_itself(report):
    claims = compare_reports(report, report, {})
    assert {claim.verdict for claim in claims} == {"holds"}
    named = {claim.name: claim for claim in claims}
    for path, found in report.estimates():  # every figure is a claim, and shows what it claims
        assert named[path].claimed == found["value"] and named[path].interval == tuple(found["ci95"])


def first_of_class(by_class: dict) -> dict:
    by_class["accuracy"][0] = float(by_class["accuracy"][0] < 0.5)
    return by_class


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("axes/clean/accuracy/value", lambda v: v + 0.05, "clean/accuracy"),
        ("axes/clean/accuracy/value", lambda v: v - 0.05, "clean/accuracy"),
        ("axes/clean/nll/value", lambda v: 0.97 * v, "clean/nll"),
        ("axes/clean/nll/ci95", lambda ci: [0.9 * ci[0], ci[1]], "clean/nll"),
        ("axes/clean/accuracy/n", lambda n: 10 * n, "clean/accuracy"),
        ("axes/corruptions/accuracy/fog/5/value", lambda v: v + 0.1, "corruptions/accuracy/fog/5"),
        ("axes/ood/photographs/msp/auroc/value", lambda v: v + 0.05, "ood/photographs/msp/auroc"),
        ("axes/ood/photographs/msp/roc/tpr", lambda v: [1.0] * len(v), "ood, its lists and curves"),
        ("axes/ood/photographs/n_ood", lambda v: 10 * v, "ood, its lists and curves"),
        ("axes/clean/accuracy_by_class", first_of_class, "clean, its lists and curves"),
        (
            "axes/selective/risk_coverage_curve/risk",
            lambda v: [0.5 * r for r in v],
            "selective, its lists and curves",
        ),
        ("axes/corruptions/mode", lambda _: "corrected", "corruptions, its lists and curves"),
        ("axes/clean/f1", lambda _: estimate(0.99, (0.98, 1.0), 60), "clean/f1"),
        ("model/num_parameters", lambda n: n // 10, "model"),
        ("data/class_names", lambda names: names[::-1], "data"),
    ],
)
def test_what_is_edited_fails_and_nothing_else(report, path, change, named):
    assert failed(compare_reports(edited(report, path, change), report, {})) == [named]


def test_what_another_processor_flips_holds(report):
    """One example of 60 told otherwise, and logits off in their sixth digit."""
    n = report.axes["clean"]["accuracy"]["n"]
    hits = round(report.axes["clean"]["accuracy"]["value"] * n) + 1
    near = edited(report, "axes/clean/accuracy", lambda _: estimate(hits / n, wilson_interval(hits, n), n))
    near = edited(near, "axes/clean/nll/value", lambda v: v * (1 + 1e-6))
    near = edited(near, "axes/calibration/reliability_bins/count", lambda c: [c[0] + 1, *c[1:-1], c[-1] - 1])
    assert failed(compare_reports(near, report, {})) == []


def test_what_cannot_be_measured_is_never_held(report):
    unknown = {"ood/photographs": "not given", "corruptions/accuracy/frost": "another frost"}
    without = copy.deepcopy(report.content)
    del without["axes"]["ood"], without["axes"]["corruptions"]["accuracy"]["frost"]
    claims = compare_reports(report, RobustnessReport(without), unknown)
    for claim in claims:
        for path, why in unknown.items():
            if claim.name.startswith(path):
                assert (claim.verdict, claim.why, claim.measured) == ("not checked", why, None)
    assert sum(claim.verdict == "not checked" for claim in claims) == sum(
        path.startswith(tuple(unknown)) for path, _ in report.estimates()
    )
    older = edited(report, "versions/hfmix", lambda _: "0.0.9")
    left_open = {c.name for c in compare_reports(older, RobustnessReport(without), {}) if c.verdict != "holds"}
    assert left_open == {path for path, _ in report.estimates() if path.startswith(tuple(unknown))}


def made(values: np.ndarray, n: int, fingerprint: str) -> RobustnessReport:
    """A report of accuracies alone."""
    cells = {str(i): estimate(v, wilson_interval(round(v * n), n), n) for i, v in enumerate(values)}
    axes = {"corruptions": {"mean_accuracy": estimate(values.mean(), (0.0, 1.0), n), "accuracy": {"fog": cells}}}
    return of_axes(axes, n, fingerprint)


def of_axes(axes: dict, n: int, fingerprint: str) -> RobustnessReport:
    data = {"fingerprint_sha256": fingerprint, "num_samples": n, "kind": "image", "class_names": ["a", "b"]}
    return RobustnessReport({"data": data, "model": {"num_parameters": 1}, "axes": axes})


def test_on_other_data_honest_reports_hold_and_others_fail():
    """200 reports of 75 accuracies each, a claim and a measurement, drawn independently.

    At 5 % for a whole report 10 of 200 are to fail; 20 or more have a probability below .3 % (binomial). A claim
    that is 12 points too high in each cell, of 4 standard errors of a difference at n = 540, is to fail each time.
    """
    rng = np.random.default_rng(0)
    true = rng.uniform(0.5, 0.95, 75)
    alarms = 0
    for _ in range(200):
        ours, theirs = (rng.binomial(540, true) / 540 for _ in range(2))
        claims = compare_reports(made(ours, 540, "a"), made(theirs, 540, "b"), {})
        assert all("on other data" in claim.why for claim in claims if claim.interval)
        alarms += bool(failed(claims))
    assert alarms < 20
    too_high = made(np.minimum(1, rng.binomial(540, true) / 540 + 0.12), 540, "a")
    measured = made(rng.binomial(540, true) / 540, 540, "b")
    assert len(failed(compare_reports(too_high, measured, {}))) > 20
    wide = copy.deepcopy(too_high.content)
    for cell in wide["axes"]["corruptions"]["accuracy"]["fog"].values():
        cell["ci95"] = [0.0, 1.0]  # on paper only: as many examples would give a narrow one
    assert len(failed(compare_reports(RobustnessReport(wide), measured, {}))) > 20


def test_a_precision_is_not_compared_with_that_of_another_share(report):
    """As many examples out of distribution, but a tenth of those of the test set."""
    other = edited(report, "data/fingerprint_sha256", lambda _: "other")
    ood = other.content["axes"]["ood"]["photographs"]
    n_ood = ood["n_ood"]
    for found in ood.values():
        for one in found.values() if isinstance(found, dict) else ():
            if isinstance(one, dict) and "n" in one:
                one["n"] = n_ood + (one["n"] - n_ood) // 10
    left = [claim.name for claim in compare_reports(report, other, {}) if claim.verdict == "not checked"]
    assert left and all(name.split("/")[-1] in ("aupr_in", "aupr_out") for name in left)
    assert len(left) == sum("/aupr_" in path for path, _ in report.estimates() if path.startswith("ood/"))


def calibrated(n: int, seed: int) -> RobustnessReport:
    """Of a model of ten classes that is right as often as it says, on n examples."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (n, 10))
    log_prob = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = (np.exp(log_prob).cumsum(1) < rng.random((n, 1))).sum(1)
    return of_axes({"calibration": calibration_axis(log_prob, labels, seed=0)}, n, str(seed))


def test_a_calibration_error_is_not_compared_with_that_of_far_fewer_examples(monkeypatch):
    """Of 4,000 examples and of 200 an honest classwise ECE is .01 and .03, each within a narrow interval."""
    whole, part = calibrated(4000, 0), calibrated(200, 1)
    found = {claim.name: claim for claim in compare_reports(whole, part, {}) if claim.interval or claim.why}
    errors = {f"calibration/{name}" for name in ("ece_15", "adaptive_ece_15", "classwise_ece_15")}
    assert {name for name, claim in found.items() if claim.verdict == "not checked"} == errors
    assert "4000 examples there, 200 here" in found["calibration/ece_15"].why
    assert found["calibration/brier"].verdict == "holds"
    for seed in range(2, 12):  # four fifths are compared: none of 90 such failed, of half as many 27 did
        compared = compare_reports(whole, calibrated(3200, seed), {})
        assert {claim.verdict for claim in compared} == {"holds"}
    monkeypatch.setattr(claims_room, "_OTHER_COUNT", np.inf)
    assert "calibration/classwise_ece_15" in failed(compare_reports(whole, part, {}))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("axes/clean/accuracy/value", "0.99", "no figure at 'clean/accuracy'"),
        ("axes/clean/accuracy/value", float("nan"), "no figure at 'clean/accuracy'"),
        ("axes/clean/accuracy/ci95", [0.9], "no figure at 'clean/accuracy'"),
        ("axes/clean/accuracy/n", 0, "no figure at 'clean/accuracy'"),
        ("axes", {}, "claims nothing"),
        ("data", [], "claims nothing"),
        ("data/num_samples", True, "which data it is of"),
        ("seed", None, "seed None"),
    ],
)
def test_a_report_that_is_none_is_one_line(report, path, value, message):
    with pytest.raises(ValueError, match=message):
        check_estimates(edited(report, path, lambda _: value))
