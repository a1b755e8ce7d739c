"""The view of an axis: everything that is shown of it, from the report's plain JSON alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hfmix.robustness.estimates import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

Content = Mapping[str, Any]
"""What a report holds of one axis."""
Axes = Mapping[str, Content]
"""What a report holds of each axis: `RobustnessReport.axes`."""
Runs = Mapping[str, Axes]
"""The axes of several runs, by name."""
DrawPanel = Callable[["Panel", Runs], None]
"""Draws one panel of a comparison of several runs."""
Predictions = Mapping[str, np.ndarray]
Statistic = Callable[..., np.ndarray]
"""The statistic of D resamples, from how often each example is drawn: (D, N), for AUROC (D, N) and (D, M)."""
Statistics = Iterator[tuple[str, Statistic, tuple[int, ...]]]
"""Paths in a report, each with its statistic of resamples, and with the number of examples of each sample."""


class Headline(NamedTuple):
    """A headline estimate's title and form.

    Attributes:
        title: with the unit, and an arrow that says which way is better.
        path: of the estimate, as in `RobustnessReport.estimates`.
        factor, digits: the factor and the number of decimals for the estimate as text.
    """

    title: str
    path: str
    factor: float
    digits: int


class Note(NamedTuple):
    """A paragraph above an axis' pictures and tables on the page, and a list of definitions below it."""

    text: str
    definitions: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class View:
    """The presentation of one axis; as it stands, of an axis with nothing but tables on the page.

    Attributes:
        title: the title of the axis' section on the page.
        beside: views of the further sections that the axis adds to a report, by their keys.
        conventions: unit ("%" for what lies in [0, 1]) and convention of each estimate, by its name.
        figures: caption on the card of each picture, by its file stem.
        fixed_headlines: the headline estimates whose paths do not depend on the content.
        rows: name of the predictions that identify the examples of `statistics`; None for the whole test set.
    """

    title: str = ""
    beside: Mapping[str, "View"] = field(default_factory=dict)
    conventions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    fixed_headlines: tuple[Headline, ...] = ()
    rows: str | None = None

    def headlines(self, content: Content) -> Iterator[tuple[Headline, Estimate]]:
        """Yields the few estimates that sum up the axis."""
        for headline in self.fixed_headlines:
            key = headline.path.partition("/")[2]
            if key in content:
                yield headline, content[key]

    def is_headline(self, path: str) -> bool:
        """Returns whether an estimate is always one of the headlines, as far as its path tells."""
        return any(path == headline.path for headline in self.fixed_headlines)

    def sentences(self, axes: Axes, escape: Callable[[str], str]) -> Iterable[str]:
        """Yields plain sentences on what the estimates mean; `escape` makes names fit for Markdown, say."""
        return ()

    def draw(self, axes: Axes) -> Mapping[str, "Figure"]:
        """Draws the axis' pictures, by the stems of `figures`."""
        return {}

    def panels(self, runs: Runs) -> Iterable[DrawPanel]:
        """Yields a function that draws each panel of a comparison; none where no run has anything to show."""
        return ()

    def basis(self, content: Content, seed: int) -> Mapping[str, Any]:
        """Returns what has to be the same in two runs that are compared, by the words for it."""
        return {}

    def listed(self, path: Sequence[str]) -> tuple[str, str] | None:
        """Returns config and metric of an estimate in the card's model-index, from the parts of its path below the
        axis; None for one that is left out, since the index would grow too long with all of them.
        """
        return None

    def statistics(self, predictions: Predictions) -> Statistics:
        """Yields the statistics whose paired differences are taken."""
        yield from ()

    def notes(self, content: Content) -> Iterable[Note]:
        """Yields what the page says on how the axis was measured."""
        return ()

    def terms(self, content: Content) -> Mapping[str, str]:
        """Returns explanations of further names on the page, beside the conventions."""
        return {}

    def fingerprints(self, content: Content) -> Mapping[str, str]:
        """Returns the fingerprints of the axis' own data sets, by the words for each."""
        return {}

    def left_out(self, content: Content) -> Mapping[str, str]:
        """Returns what the axis could not measure, and why."""
        return {}

    def definition(self, content: Content, escape: Callable[[str], str]) -> str:
        """Returns how the axis' headlines are defined, as a part of a sentence on the card."""
        return ""


def show(estimate: Estimate, factor: float = 1, digits: int = 3) -> str:
    """Returns an estimate with its 95 % interval as text."""
    low, high = estimate["ci95"]
    return f"{factor * estimate['value']:.{digits}f} [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"


def show_difference(estimate: Estimate, factor: float, digits: int) -> str:
    """Returns a difference as text, with its sign and its 95 % interval, and a * where that excludes 0."""
    low, high = estimate["ci95"]
    # + 0.0 makes -0.0 a 0
    value, low, high = (round(factor * number, digits) + 0.0 for number in (estimate["value"], low, high))
    mark = " *" if estimate["ci95"][0] > 0 or estimate["ci95"][1] < 0 else ""
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{mark}"


def words(name: str) -> str:
    """Returns a name of a report as it is read."""
    return name.replace("_", " ")


def mean_of(values: np.ndarray) -> Statistic:
    """Returns the statistic that takes the mean of (N,) values."""
    return lambda counts: counts @ values.astype(np.float64) / counts.sum(1)
