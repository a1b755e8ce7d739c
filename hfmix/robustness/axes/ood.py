"""The OOD axis: whether the scores of `ood_scores` tell input of no class of the model from the test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from hfmix.data.labelled import LabelledData
from hfmix.metrics.detection import (
    Thresholds,
    auroc_of_counts,
    average_precision_of_counts,
    fpr95_of_counts,
    reversed_counts,
    roc_curve,
)
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.axes.base import (
    Axis,
    ClaimedReport,
    Context,
    Measured,
    ReportContent,
    Request,
    same_helper,
    same_set,
    same_test,
)
from hfmix.robustness.axes.feature_reference import NEIGHBOURS, FeatureReference
from hfmix.robustness.axes.ood_scores import SCORES, Scores, full_spectrum, ood_scores
from hfmix.robustness.estimates import estimate
from hfmix.robustness.predictions import Predictions


@dataclass(frozen=True)
class Ood(Axis):
    """Detection of out-of-distribution input.

    Attributes:
        sets: unlabelled data by name.
        groups: names of `sets` by group, such as ``{"near": [...], "far": [...]}``.
        reference: training data, whose features the scores from features measure distance from.
        shifted: shifted sets by name, which count as in-distribution in the full-spectrum figures.
    """

    sets: Mapping[str, LabelledData]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reference: LabelledData | None = None
    shifted: Mapping[str, LabelledData] = field(default_factory=dict)
    keys = ("ood", "ood_groups", "ood_full_spectrum")

    @classmethod
    def from_request(cls, request: Request) -> Self:
        reference = _sample(request.reference, request["seed"]) if request.ood else None
        shifted = request.shift if "shift" in request.axes else {}
        return cls(request.ood, request["groups"] or {}, reference, shifted)

    def unavailable(self, context: Context) -> str | None:
        return None if self.sets else "no out-of-distribution data given (ood=)"

    @property
    def needs_features(self) -> bool:
        return self.reference is not None

    def passes(self, context: Context) -> int:
        return sum(map(len, self.sets.values())) + (0 if self.reference is None else len(self.reference))

    def measure(self, context: Context) -> Measured:
        reference, fingerprints = None, {}
        if self.reference is not None:
            training = context.runner.outputs(self.reference, context.bar, True)
            fingerprints["reference"] = training.fingerprint
            reference = FeatureReference.fit(training.features, self.reference.labels)

        def scores(data: LabelledData) -> Scores:
            outputs = context.outputs(data)
            return ood_scores(outputs.logits, outputs.features, reference)

        inside, seed = scores(context.test), context.seed
        outside = {name: scores(data) for name, data in self.sets.items()}
        content = {
            name: {
                "fingerprint_sha256": context.outputs(data).fingerprint,
                **ood_axis(inside, outside[name], seed),
            }
            for name, data in self.sets.items()
        }
        further: dict[str, Any] = {}
        if self.groups:
            further["ood_groups"] = ood_groups(inside, outside, self.groups, seed)
        if self.shifted:
            wide = full_spectrum(inside, *map(scores, self.shifted.values()))
            further["ood_full_spectrum"] = {name: ood_axis(wide, other, seed) for name, other in outside.items()}
        return Measured(content, ood_predictions(outside), fingerprints, further)

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self | None:
        sets = claim.ood()
        groups = {}
        for group, content in claim.axes.get("ood_groups", {}).items():
            if missing := [name for name in content["sets"] if name not in sets]:
                claim.unknown[f"ood_groups/{group}"] = f"its set {missing[0]} is not given (--ood)"
            else:
                groups[group] = content["sets"]
        from_features = any("knn" in content for content in claim.axes["ood"].values())
        reference = _sample(claim.reference(), claim.content["seed"]) if sets and from_features else None
        return cls(sets, groups, reference, claim.shift())

    @classmethod
    def same_data(cls, path: Sequence[str], claimed: ReportContent, measured: ReportContent) -> bool:
        axis, *rest = path
        if not rest or not same_test(claimed, measured):
            return same_test(claimed, measured)
        from_features = any(name in SCORES and SCORES[name].from_features for name in rest)
        if from_features and not same_helper("reference", claimed, measured):
            return False
        shifts = claimed["axes"].get("shift", {}) if axis == "ood_full_spectrum" else ()
        return all(same_set("ood", name, claimed, measured) for name in _sets_behind(path, claimed)) and all(
            same_set("shift", name, claimed, measured) for name in shifts
        )

    @classmethod
    def smallest_set(cls, path: Sequence[str], measured: ReportContent) -> int:
        sets = measured["axes"].get("ood", {})
        counts = [
            sets[name].get("n_ood") for name in _sets_behind(path, measured) if isinstance(sets.get(name), dict)
        ]
        return min([measured["data"]["num_samples"], *(n for n in counts if type(n) is int and n > 0)])

    @classmethod
    def incomparable(
        cls, path: Sequence[str], claimed: ReportContent, measured: ReportContent, counts: tuple[int, int]
    ) -> str:
        """See `Axis.incomparable`: a precision depends on the share of OOD input."""
        if not path[-1].startswith("aupr"):
            return ""
        shares = []
        for count, content in zip(counts, (claimed, measured), strict=True):
            sets = content["axes"].get("ood", {})
            shares.append(sum(sets.get(name, {}).get("n_ood", 0) for name in _sets_behind(path, content)) / count)
        if abs(shares[0] - shares[1]) <= _OTHER_SHARE:
            return ""
        return (
            "a precision depends on the share of examples out of distribution: {:.1%} there, {:.1%} here".format(
                *shares
            )
        )


METRICS = {
    "auroc": auroc_of_counts,
    "aupr_in": average_precision_of_counts,
    "aupr_out": lambda inside, outside: average_precision_of_counts(*reversed_counts(inside, outside)),
    "fpr95_ood_positive": lambda inside, outside: fpr95_of_counts(*reversed_counts(inside, outside)),
    "fpr95_id_positive": fpr95_of_counts,
}
_HISTOGRAM_BINS = 30
# features of more training examples than these change k-NN and Mahalanobis little and cost as many passes
_REFERENCE_SAMPLES = 5_000
_OTHER_SHARE = 0.01  # a difference in the share of OOD examples that moves a precision
_ROC_POINTS = 50


def ood_axis(inside: Scores, outside: Scores, seed: int) -> dict[str, Any]:
    """Computes AUROC, AUPR and FPR95 of each score in both directions, with bootstrap intervals, and plot data.

    Args:
        inside: `ood_scores` of in-distribution input, or `full_spectrum` of several sets.
        outside: `ood_scores` of out-of-distribution input.
        seed: seed of the bootstrap, which resamples both sets.

    Returns:
        ``n_ood``; for each score its estimates, under names that say their convention, and its ROC curve (the
        share of OOD input, ``fpr``, and of ID input, ``tpr``, that is accepted); ``left_out``, why a score is
        missing; ``msp_histogram``.
    """
    axis: dict[str, Any] = {"n_ood": len(outside["msp"])}
    for name, estimates in _mean_estimates(inside, [outside], seed).items():
        fpr, tpr = roc_curve(inside[name], outside[name], _ROC_POINTS)
        axis[name] = {**estimates, "roc": {"fpr": fpr.round(5).tolist(), "tpr": tpr.round(5).tolist()}}
    axis["left_out"] = {
        name: score.why_missing for name, score in SCORES.items() if score.why_missing and name not in axis
    }
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    axis["msp_histogram"] = {
        "edges": edges.tolist(),
        "id": np.histogram(inside["msp"], edges)[0].tolist(),
        "ood": np.histogram(outside["msp"], edges)[0].tolist(),
    }
    return axis


def ood_groups(
    inside: Scores, outside: Mapping[str, Scores], groups: Mapping[str, Sequence[str]], seed: int
) -> dict[str, Any]:
    """Averages the estimates of `ood_axis` over the sets of a group, such as OpenOOD's near and far.

    Every set has the same weight, regardless of its size. The intervals are those of the mean, with the ID input
    resampled once for all sets.

    Args:
        inside: see `ood_axis`.
        outside: `ood_scores` by name of the set.
        groups: names in `outside` by group, such as ``{"near": ["cifar100", "tin"], "far": ["svhn"]}``.
        seed: seed of the bootstrap.

    Raises:
        ValueError: a group is empty or names a set that is not there.
    """
    estimates = {}
    for group, names in groups.items():
        if unknown := [name for name in names if name not in outside]:
            raise ValueError(f"group {group!r} names {unknown[0]!r}: there are {', '.join(outside)}")
        if not names:
            raise ValueError(f"group {group!r} is empty")
        estimates[group] = {
            "sets": list(names),
            **_mean_estimates(inside, [outside[name] for name in names], seed),
        }
    return estimates


def _mean_estimates(inside: Scores, outsides: Sequence[Scores], seed: int) -> dict[str, dict[str, Any]]:
    """Computes by score and metric the mean over the OOD sets; each set is ranked once, for all resamples."""
    names = [name for name in inside if all(name in outside for outside in outsides)]
    ranked = {name: [Thresholds(inside[name], outside[name]) for outside in outsides] for name in names}
    values = {name: _means([thresholds.counts() for thresholds in ranked[name]]) for name in names}
    draws: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in names}
    sizes = [len(scores["msp"]) for scores in (inside, *outsides)]
    for id_drawn, *ood_drawn in bootstrap_counts(*sizes, seed=seed):
        for name in names:
            pairs = zip(ranked[name], ood_drawn, strict=True)
            draws[name].append(_means([thresholds.counts_of(id_drawn, drawn) for thresholds, drawn in pairs]))
    estimates: dict[str, dict[str, Any]] = {name: {} for name in names}
    for name in names:
        for key, value in values[name].items():
            drawn = np.concatenate([block[key] for block in draws[name]])
            estimates[name][key] = estimate(value, interval_of_draws(value, drawn, (0, 1)), sum(sizes))
    return estimates


def _means(counts: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.mean([metric(*pair) for pair in counts], axis=0) for key, metric in METRICS.items()}


def ood_predictions(scores: Mapping[str, Mapping[str, np.ndarray]]) -> Predictions:
    """Returns ``msp/NAME``, (M,), of each OOD set from its `ood_scores`."""
    return {f"msp/{name}": by_score["msp"] for name, by_score in scores.items()}


def _sample(training: LabelledData | None, seed: int) -> LabelledData | None:
    """Returns the training examples whose features are the reference; None where there are too few."""
    if training is None or len(training) < NEIGHBOURS:
        return None
    return training.sample(_REFERENCE_SAMPLES, seed)


def _sets_behind(path: Sequence[str], content: ReportContent) -> Sequence[str]:
    """Returns the names of the OOD sets behind what is at a path: one, or those of a group."""
    axis, *rest = path
    return content["axes"][axis].get(rest[0], {}).get("sets", rest[:1]) if rest else []
