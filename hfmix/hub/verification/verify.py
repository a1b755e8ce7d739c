"""Verification of a model card: everything that it claims is measured again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from datasets import Dataset

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import USUAL, Columns
from hfmix.data.datasets.streamed import load_streams
from hfmix.data.examination import examine
from hfmix.data.kinds import preprocessor_for
from hfmix.data.kinds.audio import shortest_clip
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import load_part, load_splits, load_test, open_labelled, open_ood
from hfmix.hub.download.load import load_run
from hfmix.hub.download.snapshot import LOADED_FILES, run_folder
from hfmix.hub.verification.card_claims import card_claims
from hfmix.hub.verification.claims import Claim, Verdict, check_estimates, compare_reports
from hfmix.robustness.axes.base import Axis, axis_class, axis_of_key, labelled
from hfmix.robustness.axes.ood_scores import SCORES
from hfmix.robustness.evaluate import measure_axes
from hfmix.robustness.names import AXES
from hfmix.robustness.presentation import stands_on_card
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import RUN_FILES
from hfmix.utils.errors import one_line
from hfmix.utils.text import aligned

Data = Dataset | LabelledData
Source = Data | str | Path


def verify(
    name: str | Path,
    dataset: Source | None = None,
    *,
    split: str = "test",
    ood: Mapping[str, Source] | None = None,
    shift: Mapping[str, Source] | None = None,
    validation: Source | None = None,
    reference: Source | None = None,
    corrupted: str | Path | None = None,
    columns: Columns = USUAL,
    max_samples: int | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> list[Claim]:
    """Measures again what a model's card and its ``robustness.json`` claim, by the conventions that they name.

    Two things are checked: that the card (its table, its findings, its model-index, its text) agrees with
    ``robustness.json``, and that a new measurement agrees with the values in ``robustness.json``: closely on the
    same data, recognised by its fingerprint, and within the intervals on other data (see
    `hfmix.hub.verification.claims`). A claim that cannot be measured with the data given is listed as "not
    checked", never as holding. Pictures and ``report.html`` are not checked.

    Args:
        name: the folder of a run or a Hub id, see `hfmix.load_pretrained`.
        dataset: the test set, or what `hfmix evaluate --dataset` takes. None takes what ``recipe.yaml`` names. If
            it has more examples than the report, as many are drawn by the report's seed.
        split: the split of a `dataset` that is given by name.
        ood, shift: the sets that the report names, by name; OOD sets that are not given are taken from the recipe.
        validation, reference: data for the temperature, and for k-NN and Mahalanobis; by default the recipe's.
        corrupted: the folder of corrupted images, if the report read them from one.
        columns: the columns of data sets that are given by name.
        max_samples: number of test examples to measure on, with OOD sets in proportion; they count as other data
            than that of the claims.
        batch_size: examples per forward pass; None takes the report's.
        progress: show a bar.

    Returns:
        The claims of the card, then those of the report.

    Raises:
        ValueError, ConnectionError: the model cannot be loaded; there is no report, or it is not one that hfmix
            writes; there is no data to measure on; or a set is given that the report does not name.
    """
    folder = run_folder(name, (*LOADED_FILES, *RUN_FILES))
    model, processor, report = load_run(folder, str(name))
    if report is None:
        raise ValueError(f"{name} claims nothing: there is no robustness.json beside it")
    check_estimates(report)
    class_names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    given = _Given(dataset, split, dict(ood or {}), dict(shift or {}), validation, reference, columns, max_samples)
    shortest = shortest_clip(model, processor)
    claim = _RepeatedClaim(folder, report, class_names, given, corrupted, shortest)
    if torch.cuda.is_available():
        model.to("cuda")
    with _well_formed(str(name)):
        claims = card_claims(folder, report)
        axes = claim.records()
        batch_size = batch_size or report.content.get("settings", {}).get("batch_size")
    measured = measure_axes(
        model,
        preprocessor_for(claim.test.kind, processor),
        claim.test,
        axes,
        batch_size=batch_size if type(batch_size) is int and batch_size > 0 else 128,
        seed=report.content["seed"],
        progress=progress,
    )
    with _well_formed(str(name)):
        return claims + _predictions(report, measured) + compare_reports(report, measured, claim.unknown)


@contextmanager
def _well_formed(name: str) -> Iterator[None]:
    """Turns errors over a report that is not put together as hfmix writes it into one line."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"robustness.json of {name} is not put together as hfmix writes it: {type(error).__name__}: {error}"
        ) from error


@dataclass(frozen=True)
class _Given:
    """The arguments of `verify` that say what to measure on."""

    dataset: Source | None
    split: str
    ood: dict[str, Source]
    shift: dict[str, Source]
    validation: Source | None
    reference: Source | None
    columns: Columns
    max_samples: int | None


class _RepeatedClaim:
    """A `hfmix.robustness.axes.base.ClaimedReport`, measured again on the data given, or else on the recipe's.

    Args:
        folder: the folder of the run.
        report: its claims.
        class_names: the model's classes in the order of its logits.
        given: the data passed to `verify`.
        corrupted: a folder of corrupted images.
        shortest: the length in seconds of the shortest clip that the model takes; None if it takes any.

    Raises:
        ValueError: a set is given that the report does not name.
    """

    def __init__(
        self,
        folder: Path,
        report: RobustnessReport,
        class_names: Sequence[str],
        given: _Given,
        corrupted: str | Path | None,
        shortest: float | None,
    ) -> None:
        self.folder, self.content, self.class_names = folder, report.content, class_names
        self.given, self.corrupted, self.shortest = given, corrupted, shortest
        self.unknown: dict[str, str] = {}

    @property
    def axes(self) -> dict[str, Any]:
        return self.content["axes"]

    def records(self) -> dict[str, Axis]:
        """Returns the axes that measure the report again, as far as that can be done here."""
        for name, sets, what in (("ood", self.given.ood, "OOD set"), ("shift", self.given.shift, "shifted set")):
            known = self.axes.get(name, {})
            for key in sets:
                if key not in known:
                    raise ValueError(f"the report has no {what} {key!r}, only {', '.join(known) or 'none'}")
        for key in self.axes:
            if axis_of_key(key) is None:
                self.unknown[key] = "not repeated by this command"
        records = {name: axis_class(name).repeat(self) for name in AXES if name in self.axes}
        return {name: axis for name, axis in records.items() if axis is not None}

    @cached_property
    def test(self) -> LabelledData:
        """The test set: as many examples as in the report, or fewer, and the same ones if it is the same set."""
        source, seed = self.given.dataset, self.content["seed"]
        if source is None:
            try:
                data = self._splits["test"]
            except (ValueError, OSError) as error:
                raise ValueError(f"no data to measure on, give --dataset: {error}") from error
        elif isinstance(source, str | Path):
            data = load_test(str(source), self.given.split, self.given.columns)
        else:
            data = self._opened(source, "test")
        data = data.sample(self._claimed_count(data.name), seed).sample(self.given.max_samples, seed)
        return self._usable(self._with_model_classes(data, data.present_classes()))

    def ood(self) -> dict[str, LabelledData]:
        return self._ood

    def shift(self) -> dict[str, LabelledData]:
        return self._shift

    def validation(self) -> LabelledData | None:
        return self._helper(self.given.validation, "validation", ("temperature_scaled",))

    def reference(self) -> LabelledData | None:
        return self._reference

    @cached_property
    def _reference(self) -> LabelledData | None:
        from_features = tuple(name for name, score in SCORES.items() if score.from_features)
        return self._helper(self.given.reference, "train", from_features)

    @cached_property
    def _ood(self) -> dict[str, LabelledData]:
        sets: dict[str, LabelledData] = {}
        for name in self.axes.get("ood", {}):
            is_given = name in self.given.ood
            try:
                source = self.given.ood[name] if is_given else (self._recipe.ood or {})[name]
                sets[name] = self._usable(self._in_proportion(open_ood({name: source})[name]))
            except (KeyError, ValueError, OSError) as error:
                if is_given:
                    raise
                why = "" if isinstance(error, KeyError) else f": {error}"
                for key in (f"ood/{name}", f"ood_full_spectrum/{name}"):
                    self.unknown[key] = f"its data is not given (--ood){why}"
        return sets

    @cached_property
    def _shift(self) -> dict[str, LabelledData]:
        for name in self.axes.get("shift", {}).keys() - self.given.shift.keys():
            self.unknown[f"shift/{name}"] = "its data is not given (--shift)"
            if "ood_full_spectrum" in self.axes:
                self.unknown["ood_full_spectrum"] = f"the shifted set {name} is not given (--shift)"
        opened = open_labelled(self.given.shift, self.given.columns)
        return {name: self._usable(data) for name, data in opened.items()}

    def _helper(self, source: Source | None, split: str, needed_by: Sequence[str]) -> LabelledData | None:
        """Returns validation or reference data; without, the keys `needed_by` of the report stay unchecked."""
        try:
            data = self._splits.get(split) if source is None else self._opened(source, split)
            if not isinstance(data, LabelledData):
                raise ValueError(f"no {split} data")
            data = self._usable(data.with_classes(self.test.class_names))
            return self._with_model_classes(data, self.test.class_names)
        except (ValueError, OSError) as error:
            if source is not None:
                raise
            for path in _paths_to(self.axes, needed_by):
                self.unknown[path] = f"no data for it is given: {error}"
            return None

    def _with_model_classes(self, data: LabelledData, of_test: Iterable[str]) -> LabelledData:
        """Matches classes by name where the model knows all of the test set's; by index otherwise."""
        are_known = set(of_test) <= set(self.class_names)
        return data.with_classes(self.class_names) if are_known else data.by_value(len(self.class_names))

    def _usable(self, data: LabelledData) -> LabelledData:
        """Leaves out what cannot be read, where the report did."""
        if "num_skipped" not in self.content["data"]:
            return data
        return examine(data, progress=False).with_shortest(data, self.shortest).usable(data)

    def _in_proportion(self, data: LabelledData) -> LabelledData:
        """Takes as large a part of an OOD set as `max_samples` is of the test set: precisions depend on shares."""
        if self.given.max_samples is None:
            return data
        share = self.given.max_samples / self._claimed_count("test")
        return data.sample(max(1, round(share * len(data))), self.content["seed"])

    def _claimed_count(self, name: str) -> int:
        """Counts the examples of the report's test set, with those that could not be read."""
        data = self.content["data"]
        return data["num_samples"] + data.get("num_skipped", {}).get(name, 0)

    def _opened(self, source: Source, split: str) -> LabelledData:
        if isinstance(source, str | Path):
            return load_part(str(source), split, self.given.columns)
        return labelled(source, self.given.columns, split)

    @cached_property
    def _recipe(self) -> DataArguments:
        """The recipe's options about data.

        Raises:
            ValueError: there is no recipe, or it is none.
        """
        try:
            content = yaml.safe_load((self.folder / "recipe.yaml").read_text(encoding="utf-8"))
            known = {field.name for field in fields(DataArguments)}
            return DataArguments(**{key: value for key, value in content.items() if key in known})
        except OSError as error:
            raise ValueError("there is no recipe.yaml that says what data it is of") from error
        except (TypeError, AttributeError, yaml.YAMLError) as error:
            raise ValueError(f"recipe.yaml cannot be read: {' '.join(str(error).split())}") from error

    @cached_property
    def _splits(self) -> Mapping[str, Any]:
        if self._recipe.streaming:
            return load_streams(self._recipe)
        content = yaml.safe_load((self.folder / "recipe.yaml").read_text(encoding="utf-8"))
        return load_splits(self._recipe, content.get("seed", 0))


def _paths_to(node: Any, keys: Sequence[str], path: str = "") -> list[str]:
    """Returns the paths of a report that end in one of these keys."""
    if not isinstance(node, dict):
        return []
    paths = []
    for key, child in node.items():
        here = f"{path}/{key}".lstrip("/")
        paths += [here] if key in keys else _paths_to(child, keys, here)
    return paths


def _predictions(report: RobustnessReport, measured: RobustnessReport) -> list[Claim]:
    """Checks that ``predictions.safetensors`` holds the model's prediction for each example."""
    name = "predictions.safetensors"
    if report.kept is None or measured.predictions is None:
        return []
    try:
        claimed, repeated = report.predictions["predicted"], measured.predictions["predicted"]
    except (ValueError, KeyError, OSError) as error:
        return [Claim(name, None, None, None, "failed", one_line(error))]
    if report.content["data"]["fingerprint_sha256"] != measured.content["data"]["fingerprint_sha256"]:
        return [Claim(name, None, None, None, "not checked", "it is of other data")]
    others = int((claimed != repeated).sum()) if claimed.shape == repeated.shape else len(repeated)
    verdict = "holds" if others <= max(2, 0.002 * len(repeated)) else "failed"
    return [
        Claim(name, None, None, None, verdict, f"{others} of {len(repeated)} examples have another prediction")
    ]


def claims_table(claims: Sequence[Claim], everything: bool = False) -> str:
    """Formats claims as a table for a terminal: those on the card, failed and unchecked ones; or all of them."""
    shown = [claim for claim in claims if everything or claim.verdict != "holds" or _stands_on_card(claim)]
    rows = [["claim", "claimed", "measured", "95 % interval", "verdict"]]
    for claim in shown:
        interval = "[{:.4g}, {:.4g}]".format(*claim.interval) if claim.interval else ""
        verdict = f"{claim.verdict}: {claim.why}" if claim.why else claim.verdict
        rows.append([claim.name, _number(claim.claimed), _number(claim.measured), interval, verdict])
    counts = [f"{sum(claim.verdict == verdict for claim in claims)} {verdict}" for verdict in get_args(Verdict)]
    return f"{aligned(rows)}\n\n{len(claims)} claims: {', '.join(counts)}"


def _stands_on_card(claim: Claim) -> bool:
    return claim.interval is None or stands_on_card(claim.name)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
