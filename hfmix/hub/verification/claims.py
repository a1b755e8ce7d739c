"""What a report claims, figure by figure, beside what was measured anew.

On the same data a model gives the same figures, but for the last digits of its logits on another processor: these
can flip an example that lies on an edge. So a proportion may be off by two examples or 0.2 points, whichever is
more, any other figure by 1 %, and the ends of an interval, which follow several examples, by twice that.

On other data a figure is another draw. The claim has to lie within the interval of the difference of two draws
(the measured half-width and the claimed one, in quadrature), at a level at which one honest report in twenty fails
over all of its figures together: with two hundred intervals of 95 % each, every honest report would. Two kinds of
figures depend on how many examples there are, and are not checked where that differs much: a precision of
detection on the share that is out of distribution, and a calibration error on how many its bins hold.
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
# said of how the figures came about, in words that may change from one version to the next
_WORDS = ("quirks", "left_out", "fingerprint_sha256")


@dataclass(frozen=True)
class Claim:
    """One claim of a card or a report, and what became of it.

    Attributes:
        name: a figure's path in the report, such as ``corruptions/mean_accuracy``, or a part of the card.
        claimed, measured: as they are in the report; None where there is nothing to show.
        interval: the 95 % interval of what was measured.
        verdict: "holds", "failed" or "not checked".
        why: the reason; for one that holds, what is to be known of it.
    """

    name: str
    claimed: float | str | None
    measured: float | str | None
    interval: tuple[float, float] | None
    verdict: Verdict
    why: str = ""


def check_estimates(report: RobustnessReport) -> None:
    """Raises a ValueError where something that stands for a figure is none, or a part of the report is missing."""
    content = report.content
    data = content.get("data")
    if not (isinstance(data, dict) and isinstance(content.get("axes"), dict) and content["axes"]):
        raise ValueError("robustness.json claims nothing: it has no data and no axes")
    if not (isinstance(data.get("fingerprint_sha256"), str) and _is_count(data.get("num_samples"))):
        raise ValueError("robustness.json does not say which data it is of (fingerprint_sha256, num_samples)")
    if type(content.get("seed")) is not int:
        raise ValueError(f"robustness.json has the seed {content.get('seed')!r}, which is no whole number")
    for path, found in report.estimates():
        ends = found["ci95"]
        numbers = [found["value"], *ends] if isinstance(ends, list) and len(ends) == 2 else [None]
        if not (all(map(_is_number, numbers)) and _is_count(found["n"])):
            raise ValueError(f"robustness.json has no figure at {path!r}: {str(found)[:80]!r}")


def compare_reports(
    claimed: RobustnessReport, measured: RobustnessReport, unknown: Mapping[str, str]
) -> list[Claim]:
    """A claim for each figure, one for the lists of each axis, and one for the size and the classes of the model.

    Args:
        claimed: has passed `check_estimates`.
        measured: by the same conventions.
        unknown: paths that could not be measured, with all below them, to the reason.
    """
    pairs = list(_pairs(claimed.axes, measured.axes, ()))
    others = sum(
        theirs is not None and _reason(path, unknown) is None and not _same_data(path, claimed, measured)
        for path, _, theirs in pairs
    )
    claims = [_of_identity(claimed, measured)]
    for path, ours, theirs in pairs:
        name = "/".join(path)
        if (why := _reason(path, unknown)) is not None:
            claims.append(Claim(name, ours["value"], None, None, "not checked", why))
        elif theirs is None:
            claims.append(_of_nothing(name, ours, claimed))
        elif _same_data(path, claimed, measured):
            claims.append(_on_same_data(name, ours, theirs, _smallest_set(path, measured)))
        elif why := _incomparable(path, ours, theirs, claimed, measured):
            claims.append(Claim(name, ours["value"], None, None, "not checked", why))
        else:
            claims.append(_on_other_data(name, ours, theirs, _smallest_set(path, measured), others))
    for axis in claimed.axes:
        claims += _of_lists(axis, claimed, measured, unknown)
    return claims


def _pairs(ours: Any, theirs: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict, dict | None]]:
    """(path, the claimed figure, the measured one or None)."""
    if not isinstance(ours, dict):
        return
    if is_estimate(ours):
        yield path, ours, theirs if is_estimate(theirs) else None
        return
    for key, child in ours.items():
        yield from _pairs(child, theirs.get(key) if isinstance(theirs, dict) else None, (*path, key))


def _on_same_data(name: str, ours: dict, theirs: dict, n: int) -> Claim:
    allowed = _allowance(name, theirs["value"], n)
    why = ""
    if abs(ours["value"] - theirs["value"]) > allowed:
        why = f"off by {abs(ours['value'] - theirs['value']):.3g}, where {allowed:.2g} is allowed"
    elif any(abs(a - b) > 2 * allowed for a, b in zip(ours["ci95"], theirs["ci95"], strict=True)):
        why = "its interval is [{:.4g}, {:.4g}]".format(*ours["ci95"])
    elif ours["n"] != theirs["n"]:
        why = f"it rests on {theirs['n']} examples, not on {ours['n']}"
    return _claim(name, ours, theirs, "failed" if why else "holds", why)


def _on_other_data(name: str, ours: dict, theirs: dict, n: int, figures: int) -> Claim:
    more = ours["value"] > theirs["value"]
    low, high = theirs["ci95"]
    half = high - theirs["value"] if more else theirs["value"] - low
    own = ours["value"] - ours["ci95"][0] if more else ours["ci95"][1] - ours["value"]
    own = min(own, half * math.sqrt(theirs["n"] / ours["n"]))  # a wide interval on paper excuses nothing
    level = NormalDist().inv_cdf(1 - 0.025 / figures) / NormalDist().inv_cdf(0.975)
    allowed = level * math.hypot(half, max(0.0, own)) + _allowance(name, theirs["value"], n)
    off = abs(ours["value"] - theirs["value"])
    why = "on other data"
    if off > allowed:
        why += f", off by {off:.3g}, where {allowed:.2g} is allowed"
    return _claim(name, ours, theirs, "failed" if off > allowed else "holds", why)


def _of_other_bins(name: str, ours: dict, theirs: dict) -> str:
    """Why a calibration error cannot be compared; empty where it can, and for any other figure."""
    fewer, more = sorted((ours["n"], theirs["n"]))
    if convention_of(name) not in _BINNED or more <= _OTHER_COUNT * fewer:
        return ""
    return f"a calibration error grows as its bins hold less: {ours['n']} examples there, {theirs['n']} here"


def _of_nothing(name: str, ours: dict, claimed: RobustnessReport) -> Claim:
    """A figure that the axis does not have when it is measured: made up, unless another version had it."""
    theirs, own = claimed.content.get("versions", {}).get("hfmix"), versions()["hfmix"]
    if theirs == own:
        return Claim(name, ours["value"], None, None, "failed", "there is no such figure")
    return Claim(
        name, ours["value"], None, None, "not checked", f"hfmix {own} has no such figure, {theirs} wrote it"
    )


def _of_identity(claimed: RobustnessReport, measured: RobustnessReport) -> Claim:
    ours, theirs = claimed.content, measured.content
    size = [content.get("model", {}).get("num_parameters") for content in (ours, theirs)]
    if size[0] != size[1]:
        return Claim("model", size[0], size[1], None, "failed", "another number of parameters")
    if same_test(claimed.content, measured.content):
        for key in ("kind", "num_samples", "class_names"):
            if ours["data"].get(key) != theirs["data"][key]:
                return Claim(
                    "data", None, None, None, "failed", f"the data's {key} is not {ours['data'].get(key)!r}"
                )
    return Claim("model", size[0], size[1], None, "holds", "number of parameters")


def _of_lists(
    axis: str, claimed: RobustnessReport, measured: RobustnessReport, unknown: Mapping[str, str]
) -> Iterator[Claim]:
    """One claim for the curves, bins and names of an axis, where it was measured on the same data."""
    name, checked = f"{axis}, its lists and curves", 0
    for path, ours, theirs, beside in _leaves(claimed.axes[axis], measured.axes.get(axis), (axis,), {}):
        if _reason(path, unknown) is not None or theirs is None or not _same_data(path, claimed, measured):
            continue
        checked += 1
        if not _alike(ours, theirs, path[-1], _examples(beside, theirs, _smallest_set(path, measured))):
            yield Claim(name, None, None, None, "failed", f"{'/'.join(path)} is not what is found")
            return
    if checked:
        yield Claim(name, None, None, None, "holds")


def _leaves(
    ours: Any, theirs: Any, path: tuple[str, ...], beside: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], Any, Any, Mapping[str, Any]]]:
    """(path, claimed, measured, what was measured beside it)."""
    if is_estimate(ours):
        return
    if not isinstance(ours, dict):
        yield path, ours, theirs, beside
        return
    theirs = theirs if isinstance(theirs, dict) else {}
    for key, child in ours.items():
        if key not in _WORDS:
            yield from _leaves(child, theirs.get(key), (*path, key), theirs)


def _examples(beside: Mapping[str, Any], measured: Any, n: int) -> list[float]:
    """How many examples each entry of a list stands for: a bin, a class, a point of a risk–coverage curve."""
    if not isinstance(measured, list):
        return [n]
    counts = beside.get("count") or [n * share for share in beside.get("coverage", ())]
    return counts if len(counts) == len(measured) else [n] * len(measured)


def _alike(ours: Any, theirs: Any, key: str, examples: list[float]) -> bool:
    if isinstance(theirs, list):
        if not isinstance(ours, list) or len(ours) != len(theirs):
            return False
        return all(_alike(a, b, key, [n]) for a, b, n in zip(ours, theirs, examples, strict=True))
    if not _is_number(theirs) or not _is_number(ours):
        return ours == theirs
    if key in ("count", "id", "ood"):  # examples in a bin
        return abs(ours - theirs) <= _EXAMPLES
    if isinstance(theirs, int):
        return ours == theirs
    if key == "temperature":
        return abs(ours - theirs) <= _SHARE * abs(theirs)
    return abs(ours - theirs) <= max(_EXAMPLES / max(examples[0], 1), _POINTS)


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


def _same_data(path: tuple[str, ...], claimed: RobustnessReport, measured: RobustnessReport) -> bool:
    """Returns whether what is at this path was measured on the very data of the claim."""
    axis = axis_of_key(path[0])
    if axis is None:
        return same_test(claimed.content, measured.content)
    return axis.same_data(path, claimed.content, measured.content)


def _incomparable(
    path: tuple[str, ...], ours: dict, theirs: dict, claimed: RobustnessReport, measured: RobustnessReport
) -> str:
    """Returns why two estimates on different data cannot be compared; empty where they can."""
    axis = axis_of_key(path[0])
    if why := _of_other_bins("/".join(path), ours, theirs):
        return why
    return (
        ""
        if axis is None
        else axis.incomparable(path, claimed.content, measured.content, (ours["n"], theirs["n"]))
    )


def _reason(path: tuple[str, ...], unknown: Mapping[str, str]) -> str | None:
    return next((unknown[key] for i in range(len(path), 0, -1) if (key := "/".join(path[:i])) in unknown), None)


def _claim(name: str, ours: dict, theirs: dict, verdict: Verdict, why: str) -> Claim:
    return Claim(name, ours["value"], theirs["value"], tuple(theirs["ci95"]), verdict, why)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0
