"""The claims of a report, estimate by estimate, compared with a repeated measurement.

On the same data a model gives the same estimates, except for the last digits of its logits on another processor:
these can flip an example at a decision boundary. So a proportion may be off by two examples or 0.2 points,
whichever is more, any other estimate by 1 %, and the ends of an interval, which depend on several examples, by
twice that.

On other data an estimate is another draw. The claim has to lie within the interval of the difference of two draws
(the measured half-width and the claimed one, in quadrature), at a level at which one honest report in twenty fails
over all of its estimates together: with two hundred intervals of 95 % each, every honest report would fail. Two
kinds of estimates depend on the number of examples and are not checked if that differs much: a precision of
detection depends on the share of OOD examples, and a calibration error on the number of examples in its bins.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

from hfmix.robustness.axes.base import axis_of_key, same_test
from hfmix.robustness.estimates import is_estimate
from hfmix.robustness.presentation import CONVENTIONS, convention_of
from hfmix.robustness.report import RobustnessReport
from hfmix.utils.environment import versions

Verdict = Literal["holds", "failed", "not checked"]
_EXAMPLES, _POINTS, _SHARE = 2, 0.002, 0.01
_OTHER_COUNT = 1.25  # times as many examples: what noise adds to a calibration error falls with 1/√n
_BINNED = ("ece_15", "adaptive_ece_15", "classwise_ece_15", "mean_ece_15")
# words on how the figures came about, which may change from one version to the next
_WORDS = ("quirks", "left_out", "fingerprint_sha256")


@dataclass(frozen=True)
class Claim:
    """One claim of a card or a report, with the verdict on it.

    Attributes:
        name: an estimate's path in the report, such as ``corruptions/mean_accuracy``, or a part of the card.
        claimed, measured: the two values; None where there is nothing to show.
        interval: the 95 % interval of the measured value.
        verdict: "holds", "failed" or "not checked".
        why: the reason; for a claim that holds, a remark.
    """

    name: str
    claimed: float | str | None
    measured: float | str | None
    interval: tuple[float, float] | None
    verdict: Verdict
    why: str = ""


def check_estimates(report: RobustnessReport) -> None:
    """Raises a ValueError if a part of the report is missing or an estimate is not made of numbers."""
    content = report.content
    data = content.get("data")
    if not (isinstance(data, dict) and isinstance(content.get("axes"), dict) and content["axes"]):
        raise ValueError("robustness.json claims nothing: it has no data and no axes")
    if not (isinstance(data.get("fingerprint_sha256"), str) and _is_count(data.get("num_samples"))):
        raise ValueError("robustness.json does not say which data it is of (fingerprint_sha256, num_samples)")
    if type(content.get("seed")) is not int:
        raise ValueError(f"robustness.json has the seed {content.get('seed')!r}, which is no whole number")
    for path, estimate in report.estimates():
        ends = estimate["ci95"]
        numbers = [estimate["value"], *ends] if isinstance(ends, list) and len(ends) == 2 else [None]
        if not (all(map(_is_number, numbers)) and _is_count(estimate["n"])):
            raise ValueError(f"robustness.json has no figure at {path!r}: {str(estimate)[:80]!r}")


def compare_reports(report: RobustnessReport, repeat: RobustnessReport, unknown: Mapping[str, str]) -> list[Claim]:
    """Compares every estimate of a report, the lists of each axis, and the size and the classes of the model.

    Args:
        report: the claims; `check_estimates` has accepted it.
        repeat: the repeated measurement, by the same conventions.
        unknown: by path, the reason why everything at and below it could not be measured.
    """
    pairs = list(_pairs(report.axes, repeat.axes, ()))
    others = sum(
        measured is not None and _reason(path, unknown) is None and not _same_data(path, report, repeat)
        for path, _, measured in pairs
    )
    claims = [_of_identity(report, repeat)]
    for path, claimed, measured in pairs:
        name = "/".join(path)
        if (why := _reason(path, unknown)) is not None:
            claims.append(Claim(name, claimed["value"], None, None, "not checked", why))
        elif measured is None:
            claims.append(_of_nothing(name, claimed, report))
        elif _same_data(path, report, repeat):
            claims.append(_on_same_data(name, claimed, measured, _smallest_set(path, repeat)))
        elif why := _incomparable(path, claimed, measured, report, repeat):
            claims.append(Claim(name, claimed["value"], None, None, "not checked", why))
        else:
            claims.append(_on_other_data(name, claimed, measured, _smallest_set(path, repeat), others))
    for axis in report.axes:
        claims += _of_lists(axis, report, repeat, unknown)
    return claims


def _pairs(
    claimed: Any, measured: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict, dict | None]]:
    """Yields (path, the claimed estimate, the measured one or None)."""
    if not isinstance(claimed, dict):
        return
    if is_estimate(claimed):
        yield path, claimed, measured if is_estimate(measured) else None
        return
    for key, child in claimed.items():
        yield from _pairs(child, measured.get(key) if isinstance(measured, dict) else None, (*path, key))


def _on_same_data(name: str, claimed: dict, measured: dict, n: int) -> Claim:
    allowed = _allowance(name, measured["value"], n)
    why = ""
    if abs(claimed["value"] - measured["value"]) > allowed:
        why = f"off by {abs(claimed['value'] - measured['value']):.3g}, where {allowed:.2g} is allowed"
    elif any(abs(a - b) > 2 * allowed for a, b in zip(claimed["ci95"], measured["ci95"], strict=True)):
        why = "its interval is [{:.4g}, {:.4g}]".format(*claimed["ci95"])
    elif claimed["n"] != measured["n"]:
        why = f"it rests on {measured['n']} examples, not on {claimed['n']}"
    return _claim(name, claimed, measured, "failed" if why else "holds", why)


def _on_other_data(name: str, claimed: dict, measured: dict, n: int, figures: int) -> Claim:
    more = claimed["value"] > measured["value"]
    low, high = measured["ci95"]
    half = high - measured["value"] if more else measured["value"] - low
    own = claimed["value"] - claimed["ci95"][0] if more else claimed["ci95"][1] - claimed["value"]
    own = min(
        own, half * math.sqrt(measured["n"] / claimed["n"])
    )  # a wide claimed interval must not loosen the check
    level = NormalDist().inv_cdf(1 - 0.025 / figures) / NormalDist().inv_cdf(0.975)
    allowed = level * math.hypot(half, max(0.0, own)) + _allowance(name, measured["value"], n)
    off = abs(claimed["value"] - measured["value"])
    why = "on other data"
    if off > allowed:
        why += f", off by {off:.3g}, where {allowed:.2g} is allowed"
    return _claim(name, claimed, measured, "failed" if off > allowed else "holds", why)


def _of_other_bins(name: str, claimed: dict, measured: dict) -> str:
    """Returns why a calibration error cannot be compared; empty where it can, and for any other estimate."""
    fewer, more = sorted((claimed["n"], measured["n"]))
    if convention_of(name) not in _BINNED or more <= _OTHER_COUNT * fewer:
        return ""
    return f"a calibration error grows as its bins hold less: {claimed['n']} examples there, {measured['n']} here"


def _of_nothing(name: str, claimed: dict, report: RobustnessReport) -> Claim:
    """Judges an estimate that the repeated axis lacks: made up, unless another version had it."""
    wrote, own = report.content.get("versions", {}).get("hfmix"), versions()["hfmix"]
    if wrote == own:
        return Claim(name, claimed["value"], None, None, "failed", "there is no such figure")
    return Claim(
        name, claimed["value"], None, None, "not checked", f"hfmix {own} has no such figure, {wrote} wrote it"
    )


def _of_identity(report: RobustnessReport, repeat: RobustnessReport) -> Claim:
    claimed, measured = report.content, repeat.content
    size = [content.get("model", {}).get("num_parameters") for content in (claimed, measured)]
    if size[0] != size[1]:
        return Claim("model", size[0], size[1], None, "failed", "another number of parameters")
    if same_test(report.content, repeat.content):
        for key in ("kind", "num_samples", "class_names"):
            if claimed["data"].get(key) != measured["data"][key]:
                return Claim(
                    "data", None, None, None, "failed", f"the data's {key} is not {claimed['data'].get(key)!r}"
                )
    return Claim("model", size[0], size[1], None, "holds", "number of parameters")


def _of_lists(
    axis: str, report: RobustnessReport, repeat: RobustnessReport, unknown: Mapping[str, str]
) -> Iterator[Claim]:
    """Yields one claim for the curves, bins and names of an axis, if the same data was measured."""
    name, checked = f"{axis}, its lists and curves", 0
    for path, claimed, measured, beside in _leaves(report.axes[axis], repeat.axes.get(axis), (axis,), {}):
        if _reason(path, unknown) is not None or measured is None or not _same_data(path, report, repeat):
            continue
        checked += 1
        if not _alike(claimed, measured, path[-1], _examples(beside, measured, _smallest_set(path, repeat))):
            yield Claim(name, None, None, None, "failed", f"{'/'.join(path)} is not what is found")
            return
    if checked:
        yield Claim(name, None, None, None, "holds")


def _leaves(
    claimed: Any, measured: Any, path: tuple[str, ...], beside: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], Any, Any, Mapping[str, Any]]]:
    """Yields (path, claimed, measured, the measured node that holds it) of everything but estimates."""
    if is_estimate(claimed):
        return
    if not isinstance(claimed, dict):
        yield path, claimed, measured, beside
        return
    measured = measured if isinstance(measured, dict) else {}
    for key, child in claimed.items():
        if key not in _WORDS:
            yield from _leaves(child, measured.get(key), (*path, key), measured)


def _examples(beside: Mapping[str, Any], measured: Any, n: int) -> list[float]:
    """Returns the number of examples behind each entry of a list: a bin, a class, a point of a curve."""
    if not isinstance(measured, list):
        return [n]
    counts = beside.get("count") or [n * share for share in beside.get("coverage", ())]
    return counts if len(counts) == len(measured) else [n] * len(measured)


def _alike(claimed: Any, measured: Any, key: str, examples: list[float]) -> bool:
    if isinstance(measured, list):
        if not isinstance(claimed, list) or len(claimed) != len(measured):
            return False
        return all(_alike(a, b, key, [n]) for a, b, n in zip(claimed, measured, examples, strict=True))
    if not _is_number(measured) or not _is_number(claimed):
        return claimed == measured
    if key in ("count", "id", "ood"):  # examples in a bin
        return abs(claimed - measured) <= _EXAMPLES
    if isinstance(measured, int):
        return claimed == measured
    if key == "temperature":
        return abs(claimed - measured) <= _SHARE * abs(measured)
    return abs(claimed - measured) <= max(_EXAMPLES / max(examples[0], 1), _POINTS)


def _allowance(path: str, value: float, n: int) -> float:
    if CONVENTIONS.get(convention_of(path) or "", ("",))[0] == "%":
        return max(_EXAMPLES / n, _POINTS)
    return max(_SHARE * abs(value), 1e-6)


def _smallest_set(path: tuple[str, ...], report: RobustnessReport) -> int:
    """Returns the number of examples in the smallest set behind an estimate or a list of a report."""
    axis = axis_of_key(path[0])
    smallest = None if axis is None else axis.smallest_set(path, report.content)
    if smallest is not None:
        return smallest
    node: Any = report.axes
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node["n"] if is_estimate(node) else report.content["data"]["num_samples"]


def _same_data(path: tuple[str, ...], report: RobustnessReport, repeat: RobustnessReport) -> bool:
    """Returns whether what is at this path was measured on the very data of the claim."""
    axis = axis_of_key(path[0])
    if axis is None:
        return same_test(report.content, repeat.content)
    return axis.same_data(path, report.content, repeat.content)


def _incomparable(
    path: tuple[str, ...], claimed: dict, measured: dict, report: RobustnessReport, repeat: RobustnessReport
) -> str:
    """Returns why two estimates on different data cannot be compared; empty where they can."""
    axis = axis_of_key(path[0])
    if why := _of_other_bins("/".join(path), claimed, measured):
        return why
    if axis is None:
        return ""
    return axis.incomparable(path, report.content, repeat.content, (claimed["n"], measured["n"]))


def _reason(path: tuple[str, ...], unknown: Mapping[str, str]) -> str | None:
    return next((unknown[key] for i in range(len(path), 0, -1) if (key := "/".join(path[:i])) in unknown), None)


def _claim(name: str, claimed: dict, measured: dict, verdict: Verdict, why: str) -> Claim:
    return Claim(name, claimed["value"], measured["value"], tuple(measured["ci95"]), verdict, why)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
