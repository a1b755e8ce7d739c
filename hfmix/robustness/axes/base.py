"""The interface of an axis: a frozen record that says what to measure, and measures it.

A new axis is a file beside this one with a subclass of `Axis` called as the file is (`shift.py` has `Shift`), its
name in `hfmix.robustness.names.AXES`, and a view of the same name in `hfmix.robustness.presentation`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from tqdm.auto import tqdm

from hfmix.data.columns import Columns
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled, open_labelled, open_ood
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Outputs, Runner
from hfmix.robustness.names import AXES
from hfmix.robustness.predictions import Predictions


class Axis(ABC):
    """One axis of the report, with its settings and its data; subclasses are frozen dataclasses.

    Attributes:
        multi_label: whether the axis is defined for examples that have several classes.
        keys: the keys of `RobustnessReport.axes` that it fills, its own name first; empty: its name alone.
        stops_early: whether `seconds` is an upper bound, as some examples need fewer passes.
    """

    multi_label: ClassVar[bool] = False
    keys: ClassVar[tuple[str, ...]] = ()
    stops_early: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_request(cls, request: "Request") -> Self:
        """Returns the axis that `evaluate_robustness` was asked for, taking its arguments and data."""

    @classmethod
    def unsuited(cls, test: LabelledData) -> str | None:
        """Returns why the axis cannot be measured on a test set of this kind; None where it can."""
        if test.is_multi_label and not cls.multi_label:
            return "for examples of one class; these have several"
        return None

    def unavailable(self, context: "Context") -> str | None:
        """Returns why the axis cannot be measured with this model and its data; None where it can."""
        return None

    def check(self, context: "Context") -> None:  # noqa: B027, most axes have nothing to refuse
        """Raises what would stop `measure` half way: settings that do not go with the model or the data."""

    @property
    def needs_features(self) -> bool:
        """Returns whether `Context.outputs` has to hold features too."""
        return False

    def passes(self, context: "Context") -> int:
        """Returns how far `measure` moves the progress bar: passes of one example through the model, at most."""
        return 0

    def seconds(self, context: "Context", one_pass: float) -> float:
        """Estimates how long `measure` takes.

        Args:
            context: for trial runs, which keep nothing.
            one_pass: seconds for a forward pass of one example.
        """
        return self.passes(context) * one_pass

    @abstractmethod
    def measure(self, context: "Context") -> "Measured":
        """Measures the axis.

        Raises:
            ValueError: what the model gives cannot be used.
        """

    @classmethod
    @abstractmethod
    def repeat(cls, claim: "ClaimedReport") -> Self | None:
        """Returns the axis that measures again what a report claims; None where that cannot be done here.

        Notes in ``claim.unknown`` which paths cannot be measured, and why.
        """

    @classmethod
    def same_data(cls, path: Sequence[str], claimed: "ReportContent", measured: "ReportContent") -> bool:
        """Returns whether two reports measured what is at `path` on the same examples.

        Args:
            path: the keys of an estimate or a list in ``axes``, the axis' own first.
            claimed, measured: `RobustnessReport.content`; test sets that differ are told before.
        """
        return same_test(claimed, measured)

    @classmethod
    def incomparable(
        cls, path: Sequence[str], claimed: "ReportContent", measured: "ReportContent", counts: tuple[int, int]
    ) -> str:
        """Returns why two estimates on different data cannot be compared; empty where they can.

        Args:
            path: as for `same_data`.
            claimed, measured: as for `same_data`.
            counts: the number of examples behind each of the two.
        """
        return ""

    @classmethod
    def smallest_set(cls, path: Sequence[str], measured: "ReportContent") -> int | None:
        """Returns the number of examples in the smallest set behind an estimate that rests on several sets."""
        return None


@dataclass(frozen=True)
class Measured:
    """The result of an axis.

    Attributes:
        content: plain JSON, for ``report.axes[name]``.
        predictions: arrays by name, by which two models are compared example by example.
        fingerprints: of the data behind the figures beside the test set, by their part in it.
        further: plain JSON for further keys of ``report.axes``.
    """

    content: dict[str, Any]
    predictions: Predictions = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    further: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Context:
    """The model, the test set and the seed that all axes measure with.

    Attributes:
        runner: the model and its preprocessor.
        test: the test set.
        seed: seed of corruption, draws and the bootstrap.
        bar: the progress bar, one unit per pass of an example.
        with_features: whether some axis needs the features of test, shifted and OOD data.
    """

    runner: Runner
    test: LabelledData
    seed: int
    bar: tqdm
    with_features: bool = False
    _outputs: dict[int, Outputs] = field(default_factory=dict, repr=False)

    def outputs(self, data: LabelledData) -> Outputs:
        """Returns the model's outputs on a data set, computed once for all axes."""
        if id(data) not in self._outputs:
            self._outputs[id(data)] = self.runner.outputs(data, self.bar, self.with_features)
        return self._outputs[id(data)]

    @cached_property
    def log_prob(self) -> np.ndarray:
        """Log-probabilities of the test set, (N, C) float64."""
        return log_softmax(self.outputs(self.test).logits)

    def trial(self, batch_size: int | None = None) -> "Context":
        """Returns a context for a try: one process, no progress, nothing kept."""
        size = min(self.runner.batch_size, batch_size or self.runner.batch_size)
        cache = ResultCache(None, self.runner.model)
        runner = Runner(self.runner.model, self.runner.preprocessor, size, cache, alone=True)
        return replace(self, runner=runner, bar=tqdm(disable=True), _outputs={})


@dataclass
class Request:
    """The arguments of `evaluate_robustness`, from which each axis takes its own; data are opened when asked for.

    Attributes:
        test: the test set.
        axes: names of the axes that are measured.
        usable: leaves out the examples of a data set that cannot be read, where that was asked for.
        columns: which columns hold the inputs and the classes.
        given: the other arguments, by name.
    """

    test: LabelledData
    axes: Sequence[str]
    usable: Callable[[LabelledData], LabelledData]
    columns: Columns
    given: Mapping[str, Any]

    def __getitem__(self, argument: str) -> Any:
        return self.given[argument]

    @cached_property
    def validation(self) -> LabelledData | None:
        """The data to fit the temperature on."""
        return self._labelled("validation")

    @cached_property
    def reference(self) -> LabelledData | None:
        """The training data."""
        return self._labelled("reference")

    @cached_property
    def ood(self) -> dict[str, LabelledData]:
        """Out-of-distribution sets by name."""
        return self._checked({name: self.usable(data) for name, data in open_ood(self["ood"] or {}).items()})

    @cached_property
    def shift(self) -> dict[str, LabelledData]:
        """Further labelled sets by name."""
        opened = open_labelled(self["shift"] or {}, self.columns)
        return self._checked({name: self.usable(data) for name, data in opened.items()})

    def sample_of_test(self, count: int | None) -> LabelledData:
        """Returns `count` test examples drawn by the seed, or all."""
        return self.test.sample(count, self["seed"])

    def _labelled(self, argument: str) -> LabelledData | None:
        data = self[argument]
        if data is None:
            return None
        return self._checked({argument: labelled(data, self.columns, argument, self.test.class_names)})[argument]

    def _checked(self, sets: dict[str, LabelledData]) -> dict[str, LabelledData]:
        for data in sets.values():
            if data.kind != self.test.kind:
                raise ValueError(f"the {data.name} set holds {data.kind}, the test set {self.test.kind}")
        return sets


class ClaimedReport(Protocol):
    """A report whose figures are measured again, with the data that is there for it.

    Attributes:
        content: `RobustnessReport.content`.
        test: the test set, as large as the report's or smaller.
        corrupted: a folder of images that were corrupted before.
        unknown: why some paths of the report cannot be measured.
    """

    content: "ReportContent"
    test: LabelledData
    corrupted: Any
    unknown: dict[str, str]

    @property
    def axes(self) -> dict[str, Any]:
        """The claims of the report, by axis."""

    def ood(self) -> dict[str, LabelledData]:
        """Returns the report's OOD sets that are there; notes the others in `unknown`."""

    def shift(self) -> dict[str, LabelledData]:
        """Returns the report's shifted sets that are there; notes the others in `unknown`."""

    def validation(self) -> LabelledData | None:
        """Returns the data to fit the temperature on; notes in `unknown` what stays unmeasured without."""

    def reference(self) -> LabelledData | None:
        """Returns the training data; notes in `unknown` what stays unmeasured without."""


ReportContent = Mapping[str, Any]
"""`RobustnessReport.content`: plain JSON."""


def axis_class(name: str) -> type[Axis]:
    """Returns the record of an axis: the class in the file of its name.

    Raises:
        ValueError: there is no axis of that name.
    """
    if name not in AXES:
        raise ValueError(f"unknown axis {name!r}: there are {', '.join(AXES)}")
    return getattr(import_module(f"hfmix.robustness.axes.{name}"), name.capitalize())


def axis_of_key(key: str) -> type[Axis] | None:
    """Returns the record of the axis that fills a key of ``report.axes``; None for a key that none does."""
    for name in AXES:
        if key == name or (key.startswith(name) and key in axis_class(name).keys):
            return axis_class(name)
    return None


def labelled(data: Any, columns: Columns, name: str, classes: Sequence[str] | None = None) -> LabelledData:
    """Returns a data set as `LabelledData` with these classes, or its own."""
    if not isinstance(data, LabelledData):
        return as_labelled(data, columns, classes, name=name)
    return data if classes is None else data.with_classes(classes)


def as_outputs(data: LabelledData, model: Any) -> LabelledData:
    """Gives labels that are whole numbers the indices of a model's outputs: of these names, or else their values.

    Names are matched only where the model's are known and hold all of the data's.
    """
    names = getattr(getattr(model, "config", None), "id2label", None) or {}
    if data.are_numbers and names and data.present_classes() <= set(names.values()):
        return data.with_classes([names[index] for index in range(len(names))])
    return data.by_value(len(names))


def positions(part: LabelledData, whole: LabelledData) -> np.ndarray:
    """Returns where the examples of a part are in the whole, (M,)."""
    position = {row: i for i, row in enumerate(whole.rows.tolist())}
    return np.array([position[row] for row in part.rows.tolist()])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns log-probabilities, (N, C), of logits."""
    return torch.from_numpy(logits).log_softmax(1).numpy()


def same_test(claimed: ReportContent, measured: ReportContent) -> bool:
    """Returns whether two reports are of the same test set."""
    return claimed["data"]["fingerprint_sha256"] == measured["data"]["fingerprint_sha256"]


def same_helper(name: str, claimed: ReportContent, measured: ReportContent) -> bool:
    """Returns whether two reports used the same validation or reference data."""
    prints = [
        content.get("settings", {}).get("fingerprints_sha256", {}).get(name) for content in (claimed, measured)
    ]
    return prints[0] is not None and prints[0] == prints[1]


def same_set(axis: str, name: str, claimed: ReportContent, measured: ReportContent) -> bool:
    """Returns whether a named set of an axis is the same in two reports."""
    prints = [
        content["axes"].get(axis, {}).get(name, {}).get("fingerprint_sha256") for content in (claimed, measured)
    ]
    return prints[0] is not None and prints[0] == prints[1]
