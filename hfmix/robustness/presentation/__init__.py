"""The presentation of reports, from their plain JSON alone: a `View` per axis, and functions over all views."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from hfmix.robustness.estimates import Estimate
from hfmix.robustness.names import AXES
from hfmix.robustness.presentation.base import Axes, Headline, View, show

VIEWS: dict[str, View] = {axis: import_module(f"hfmix.robustness.presentation.{axis}").VIEW for axis in AXES}
"""The view of each axis, in the order of `AXES`."""

# where the order differs from that of `AXES`
_HEADLINES_LAST = ("ood", "adversarial")
_SENTENCES_FIRST, _SENTENCES_LAST = ("corruptions",), ("ood",)
_CONVENTIONS_LAST = ("adversarial", "memorization")
_CARD_FIRST = ("corruptions", "calibration", "adversarial", "ood")  # the first two say most to a reader in a hurry


def ordered(first: tuple[str, ...] = (), last: tuple[str, ...] = ()) -> dict[str, View]:
    """Returns `VIEWS` with some axes first and some last."""
    middle = (axis for axis in VIEWS if axis not in (*first, *last))
    return {axis: VIEWS[axis] for axis in (*first, *middle, *last)}


def headline_estimates(axes: Axes) -> dict[Headline, Estimate]:
    """Returns the headline estimates that a report has, in the order in which they are shown."""
    return {
        headline: estimate
        for axis, view in ordered(last=_HEADLINES_LAST).items()
        if axis in axes
        for headline, estimate in view.headlines(axes[axis])
    }


def headlines(axes: Axes) -> dict[str, str]:
    """Returns title to text, such as ``{"accuracy, % ↑": "98.9 [97.6, 99.5]"}``, for what was measured."""
    return {
        title: show(estimate, factor, digits)
        for (title, _, factor, digits), estimate in headline_estimates(axes).items()
    }


def headline(axes: Axes) -> str:
    """Returns `headlines` in one line."""
    return "; ".join(f"{title[:-2]} {text}" for title, text in headlines(axes).items())


def stands_on_card(path: str) -> bool:
    """Returns whether an estimate always stands in the card's table, as far as its path tells."""
    axis = path.partition("/")[0]
    return axis in VIEWS and VIEWS[axis].is_headline(path)


def sentences(axes: Axes, escape: Callable[[str], str] = str) -> list[str]:
    """Returns sentences on what hurts the model most, how far to trust it, what declining gains, what it misses.

    Args:
        axes: `RobustnessReport.axes`.
        escape: makes names of data sets fit for Markdown, for example.
    """
    views = ordered(_SENTENCES_FIRST, _SENTENCES_LAST)
    return [text for axis, view in views.items() if axis in axes for text in view.sentences(axes, escape)]


def sections() -> Iterator[tuple[str, View]]:
    """Yields each key that `RobustnessReport.axes` can have, with its view; those beside an axis follow it."""
    for axis, view in VIEWS.items():
        yield axis, view
        yield from view.beside.items()


CONVENTIONS: dict[str, tuple[str, str]] = {
    name: convention
    for view in ordered(last=_CONVENTIONS_LAST).values()
    for name, convention in view.conventions.items()
}
"""Name of an estimate to unit ("%" for what lies in [0, 1]) and convention."""


def convention_of(path: str) -> str | None:
    """Returns the name in `CONVENTIONS` that a path of `RobustnessReport.estimates` ends in, or falls under."""
    return next((part for part in reversed(path.split("/")) if part in CONVENTIONS), None)


def captions() -> dict[str, str]:
    """Returns file stem to caption for every picture of a report, in the order of the card."""
    return {stem: text for view in ordered(_CARD_FIRST).values() for stem, text in view.figures.items()}


def draw(axes: Axes, folder: Path) -> dict[str, list[Path]]:
    """Writes the pictures of a report as PNG, removes those of an earlier one, and returns their paths by axis."""
    import matplotlib

    from hfmix.robustness.presentation.style import STYLE

    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, list[Path]] = {}
    for axis, view in VIEWS.items():
        if axis not in axes:
            for stem in view.figures:
                (folder / f"{stem}.png").unlink(missing_ok=True)
            continue
        with matplotlib.rc_context(STYLE):
            for stem, figure in view.draw(axes).items():
                figure.savefig(folder / f"{stem}.png")
                drawn.setdefault(axis, []).append(folder / f"{stem}.png")
    return drawn
