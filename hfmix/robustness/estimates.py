"""Estimates, the numbers of a report: a value with its 95 % interval and the number of examples behind it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Estimate = dict[str, Any]
"""``{"value": …, "ci95": [low, high], "n": …}``"""


def estimate(value: float, interval: tuple[float, float], n: int) -> Estimate:
    """Returns an estimate as plain JSON values.

    Args:
        value: the number itself.
        interval: the ends of its 95 % interval.
        n: the number of examples behind it.
    """
    return {"value": float(value), "ci95": [float(bound) for bound in interval], "n": int(n)}


def proportion(hits: "np.ndarray") -> Estimate:
    """Returns the share of (N,) booleans that are true, with Wilson's interval."""
    return proportion_of_count(int(hits.sum()), len(hits))


def proportion_of_count(hits: int, n: int) -> Estimate:
    """Returns the proportion ``hits / n`` with Wilson's interval."""
    from hfmix.metrics.intervals import wilson_interval  # brings NumPy, which `hfmix push` need not wait for

    return estimate(hits / n, wilson_interval(hits, n), n)


def is_estimate(node: Any) -> bool:
    """Returns whether a node of a report is an estimate."""
    return isinstance(node, dict) and {"value", "ci95", "n"} <= node.keys()


def iter_estimates(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Estimate]]:
    """Yields every estimate under a node of a report with its path, such as ``corruptions/accuracy/fog/5``."""
    if is_estimate(node):
        yield "/".join(path), node
    elif isinstance(node, dict):
        for key, child in node.items():
            yield from iter_estimates(child, (*path, key))
