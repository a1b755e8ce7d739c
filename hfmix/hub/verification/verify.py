"""Is it true what a card claims? Everything in it is measured again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from datasets import Dataset

from hfmix.data.arguments import DataArguments
from hfmix.data.columns import USUAL, Columns
from hfmix.data.datasets.streamed import load_streams
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled, load_part, load_splits, load_test, open_labelled, open_ood
from hfmix.hub.download.load import load_run
from hfmix.hub.download.snapshot import LOADED_FILES, run_folder
from hfmix.hub.verification.card_claims import card_claims
from hfmix.hub.verification.claims import Claim, Verdict, check_estimates, compare_reports
from hfmix.robustness.attacks.threats import Threat
from hfmix.robustness.corruptions import corruption_names
from hfmix.robustness.corruptions.image.textures import frost_source
from hfmix.robustness.evaluate import evaluate_robustness
from hfmix.robustness.names import AXES
from hfmix.robustness.report import RobustnessReport
from hfmix.run_folder import RUN_FILES
from hfmix.utils.errors import one_line
from hfmix.utils.text import aligned

Data = Dataset | LabelledData
Source = Data | str | Path
_MEANS = "over all corruptions, frost among them"
_ON_CARD = {
    "clean/accuracy",
    "clean/mean_average_precision",
    "clean/nll",
    "calibration/ece_15",
    "corruptions/mean_accuracy",
}
_DETECTION = "ood/.+/msp/(auroc|fpr95_ood_positive)"


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
    """Measures again what a model's card and its ``robustness.json`` claim, under the conventions that they name.

    Three things are looked at. Does the card (its table, its findings, its model-index, its text) say what
    ``robustness.json`` says? Are the figures of ``robustness.json`` found again: the same ones on the same data,
    which their fingerprints tell, or on other data figures that they can be drawn beside (see
    `hfmix.hub.verification.claims`)? What could not be measured with what was given is listed as "not checked",
    never as holding. The drawn figures and ``report.html`` are not looked at.

    Args:
        name: a run's folder or a Hub id, as for `hfmix.load_pretrained`.
        dataset: the test set, or what `hfmix evaluate --dataset` takes. None takes what ``recipe.yaml`` names. Of
            more examples than the report has, as many are drawn by its seed.
        split: of a `dataset` that is given by name.
        ood, shift: the sets that the report names; an OOD set that is not given is looked for in the recipe.
        validation, reference: data for the temperature, and for k-NN and Mahalanobis; as `ood`.
        corrupted: the folder of images corrupted before, where the report read them from one.
        columns: of the data sets that are given by name.
        max_samples: measure on so many examples, and on OOD sets in proportion; they are other data than those of
            the claims.
        batch_size: examples a forward pass; None takes the report's.
        progress: show a bar.

    Returns:
        Claim by claim: the card's, then the figures'.

    Raises:
        ValueError, ConnectionError: the model cannot be loaded; there is no report, or none as hfmix writes it;
            there is no data to measure on; a set is given that the report does not name.
    """
    folder = run_folder(name, (*LOADED_FILES, *RUN_FILES))
    model, processor, report = load_run(folder, str(name))
    if report is None:
        raise ValueError(f"{name} claims nothing: there is no robustness.json beside it")
    check_estimates(report)
    data = _Data(folder, report, dataset, split, columns, max_samples)
    names = [model.config.id2label[i] for i in range(model.config.num_labels)]
    unknown: dict[str, str] = {}
    if torch.cuda.is_available():
        model.to("cuda")
    with _well_formed(str(name)):
        claims = card_claims(folder, report)
        asked = _asked(data, names, ood or {}, shift or {}, validation, reference, corrupted, unknown)
        batch_size = batch_size or report.content.get("settings", {}).get("batch_size")
    measured = evaluate_robustness(
        model,
        processor,
        **asked,
        batch_size=batch_size if type(batch_size) is int and batch_size > 0 else 128,
        seed=report.content["seed"],
        progress=progress,
    )
    with _well_formed(str(name)):
        return claims + _predictions(report, measured) + compare_reports(report, measured, unknown)


@contextmanager
def _well_formed(name: str) -> Iterator[None]:
    """A report that others wrote can have any shape: what trips over it is one line."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"robustness.json of {name} is not put together as hfmix writes it: {type(error).__name__}: {error}"
        ) from error


class _Data:
    """The data that is given, and, where none is, the recipe's.

    Args: as `verify`'s.
    """

    def __init__(
        self,
        folder: Path,
        report: RobustnessReport,
        dataset: Source | None,
        split: str,
        columns: Columns,
        max_samples: int | None,
    ) -> None:
        self.folder = folder
        self.report = report
        self.dataset = dataset
        self.split = split
        self.columns = columns
        self.max_samples = max_samples

    def test(self) -> LabelledData:
        """As many examples as the report has, or fewer; the same ones, if it is the same set."""
        if self.dataset is None:
            try:
                data = self.splits["test"]
            except (ValueError, OSError) as error:
                raise ValueError(f"no data to measure on, give --dataset: {error}") from error
        elif isinstance(self.dataset, str | Path):
            data = load_test(str(self.dataset), self.split, self.columns)
        else:
            data = self.labelled(self.dataset, "test")
        seed = self.report.content["seed"]
        return data.sample(self._claimed_count(data.name), seed).sample(self.max_samples, seed)

    def in_proportion(self, data: LabelledData) -> LabelledData:
        """As large a part of an OOD set as `max_samples` is of the test set: precisions depend on the shares."""
        if self.max_samples is None:
            return data
        share = self.max_samples / self._claimed_count("test")
        return data.sample(max(1, round(share * len(data))), self.report.content["seed"])

    def _claimed_count(self, name: str) -> int:
        """The examples of the report's test set, with those that could not be read."""
        content = self.report.content["data"]
        return content["num_samples"] + content.get("num_skipped", {}).get(name, 0)

    def labelled(self, source: Source, split: str) -> LabelledData:
        """A labelled set that is given."""
        if isinstance(source, str | Path):
            return load_part(str(source), split, self.columns)
        return source if isinstance(source, LabelledData) else as_labelled(source, self.columns, name=split)

    @cached_property
    def recipe(self) -> DataArguments:
        """What the recipe says of data.

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
    def splits(self) -> Mapping[str, Any]:
        """The recipe's."""
        if self.recipe.streaming:
            return load_streams(self.recipe)
        content = yaml.safe_load((self.folder / "recipe.yaml").read_text(encoding="utf-8"))
        return load_splits(self.recipe, content.get("seed", 0))


def _asked(
    data: _Data,
    names: Sequence[str],
    ood: Mapping[str, Source],
    shift: Mapping[str, Source],
    validation: Source | None,
    reference: Source | None,
    corrupted: str | Path | None,
    unknown: dict[str, str],
) -> dict[str, Any]:
    """What `evaluate_robustness` is asked for so that it repeats the report; notes in `unknown` what it cannot."""
    report, claimed, test = data.report, data.report.axes, data.test()
    by_name = set(test.class_names) <= set(names)

    def aid(source: Source | None, split: str, what: str) -> LabelledData | None:
        """Validation or reference data; the paths `what` stay unchecked without."""
        try:
            found = data.splits.get(split) if source is None else data.labelled(source, split)
            if not isinstance(found, LabelledData):
                raise ValueError(f"no {split} data")
            found = found.with_classes(test.class_names)
            return found.with_classes(names) if by_name else found
        except (ValueError, OSError) as error:
            if source is not None:
                raise
            for path in _below(claimed, what):
                unknown[path] = f"no data for it is given: {error}"
            return None

    for axis in claimed:
        if axis.removesuffix("_groups").removesuffix("_full_spectrum") not in AXES:
            unknown[axis] = "not repeated by this command"
    ood = _ood_sets(data, ood, unknown)
    for name in set(shift) - set(claimed.get("shift", {})):
        raise ValueError(f"the report has no shifted set {name!r}")
    for name in set(claimed.get("shift", {})) - set(shift):
        unknown[f"shift/{name}"] = "its data is not given (--shift)"
        if "ood_full_spectrum" in claimed:
            unknown["ood_full_spectrum"] = f"the shifted set {name} is not given (--shift)"
    needs_validation = "temperature_scaled" in claimed.get("calibration", {})
    between = claimed.get("interpolation", {})
    needs_reference = (
        (bool(ood) and any("knn" in found for found in claimed["ood"].values()))
        or between.get("data", "test") != "test"
        or "memorization" in claimed
    )
    training = aid(reference, "train", "knn mahalanobis") if needs_reference else None
    if training is None and between.get("data", "test") != "test":
        unknown["interpolation"] = "its training data is not given (--reference)"
    if training is None or training.true_labels is None:
        unknown["memorization"] = "it is not known which of its training labels were wrong"
    for name in ("best_test_error", "best_epoch", "last_test_error", "test_error_by_epoch"):
        unknown[f"memorization/{name}"] = "measured in the course of the training"
    attacked = claimed.get("adversarial")
    corruptions = _corruptions(claimed, test.kind, corrupted, unknown)
    axes = [axis for axis in AXES if axis in claimed]
    return {
        "dataset": test.with_classes(names) if by_name else test,
        "axes": [axis for axis in axes if axis not in unknown],
        "ood": ood,
        "shift": shift and open_labelled(shift, data.columns),
        "validation": aid(validation, "validation", "temperature_scaled") if needs_validation else None,
        "reference": training,
        "groups": {
            group: found["sets"]
            for group, found in claimed.get("ood_groups", {}).items()
            if f"ood_groups/{group}" not in unknown
        },
        "corruptions": corruptions,
        "corruption_samples": claimed["corruptions"]["mean_accuracy"]["n"] if corruptions else None,
        "mode": claimed.get("corruptions", {}).get("mode", "parity"),
        "corrupted": corrupted,
        **({"threats": _threats(attacked), "attack_samples": attacked["num_samples"]} if attacked else {}),
        **({"pairs": between["num_pairs"]} if between else {}),
        "skip_unreadable": "num_skipped" in report.content["data"],
    }


def _threats(attacked: Mapping[str, Any]) -> list[Threat]:
    """Those of the report, with their steps where these are not the usual ones."""
    threats = []
    for norm, said in attacked["settings"].items():
        usual = Threat(
            norm, list(said["eps"].values()), said["attacks"], said.get("steps", 10), None, said.get("restarts", 1)
        )
        sizes = {
            size
            for attack in ("ifgsm", "pgd")
            for name, size in said.get(f"step_size_{attack}", {}).items()
            if size != usual.step_of(attack, said["eps"][name])
        }
        threats.append(replace(usual, step_size=sizes.pop()) if sizes else usual)
    return threats


def _ood_sets(data: _Data, given: Mapping[str, Source], unknown: dict[str, str]) -> dict[str, LabelledData]:
    """The report's OOD sets that are given, or that the recipe names and that are here."""
    claimed, found = data.report.axes.get("ood", {}), {}
    for name in given:
        if name not in claimed:
            raise ValueError(f"the report has no OOD set {name!r}, only {', '.join(claimed) or 'none'}")
    for name in claimed:
        try:
            source = given[name] if name in given else (data.recipe.ood or {})[name]
            found |= {key: data.in_proportion(part) for key, part in open_ood({name: source}).items()}
        except (KeyError, ValueError, OSError) as error:
            if name in given:
                raise
            why = "" if isinstance(error, KeyError) else f": {error}"
            unknown[f"ood/{name}"] = unknown[f"ood_full_spectrum/{name}"] = f"its data is not given (--ood){why}"
    for group, content in data.report.axes.get("ood_groups", {}).items():
        if missing := [name for name in content["sets"] if name not in found]:
            unknown[f"ood_groups/{group}"] = f"its set {missing[0]} is not given (--ood)"
    return found


def _corruptions(
    claimed: Mapping[str, Any], kind: str, corrupted: str | Path | None, unknown: dict[str, str]
) -> list[str] | None:
    """The report's corruptions, as far as they can be repeated here; None for none."""
    if "corruptions" not in claimed:
        return None
    axis = claimed["corruptions"]
    known = corruption_names(kind, extra=True)
    if "read from" in axis["applied"] and corrupted is None:
        unknown["corruptions"] = "its corrupted images were read from files (--corrupted)"
    elif strange := [name for name in axis["accuracy"] if name not in known]:
        unknown["corruptions"] = f"this hfmix has no corruption {strange[0]!r}"
    elif axis.get("frost") not in (None, frost_source()):
        why = f"the report's frost is {axis['frost']}, the one here {frost_source()}"
        unknown["corruptions/accuracy/frost"] = unknown["corruptions/frost"] = why
        for key in axis:
            if key not in ("accuracy", "applied", "mode"):
                unknown[f"corruptions/{key}"] = f"{_MEANS}: {why}"
    return None if "corruptions" in unknown else list(axis["accuracy"])


def _below(node: Any, keys: str, path: str = "") -> list[str]:
    """The paths of a report that end in one of these words."""
    if not isinstance(node, dict):
        return []
    found = []
    for key, child in node.items():
        here = f"{path}/{key}".lstrip("/")
        found += [here] if key in keys.split() else _below(child, keys, here)
    return found


def _predictions(report: RobustnessReport, measured: RobustnessReport) -> list[Claim]:
    """Whether ``predictions.safetensors`` holds what the model says of each example."""
    name = "predictions.safetensors"
    if report.kept is None or measured.predictions is None:
        return []
    try:
        ours, theirs = report.predictions["predicted"], measured.predictions["predicted"]
    except (ValueError, KeyError, OSError) as error:
        return [Claim(name, None, None, None, "failed", one_line(error))]
    if report.content["data"]["fingerprint_sha256"] != measured.content["data"]["fingerprint_sha256"]:
        return [Claim(name, None, None, None, "not checked", "it is of other data")]
    others = int((ours != theirs).sum()) if ours.shape == theirs.shape else len(theirs)
    verdict = "holds" if others <= max(2, 0.002 * len(theirs)) else "failed"
    return [Claim(name, None, None, None, verdict, f"{others} of {len(theirs)} examples are told otherwise")]


def claims_table(claims: Sequence[Claim], everything: bool = False) -> str:
    """Claims as a table for a terminal: what stands on the card, what failed or was not checked; or all."""
    shown = [claim for claim in claims if everything or claim.verdict != "holds" or _stands_on_card(claim)]
    rows = [["claim", "claimed", "measured", "95 % interval", "verdict"]]
    for claim in shown:
        interval = "[{:.4g}, {:.4g}]".format(*claim.interval) if claim.interval else ""
        verdict = f"{claim.verdict}: {claim.why}" if claim.why else claim.verdict
        rows.append([claim.name, _number(claim.claimed), _number(claim.measured), interval, verdict])
    counts = [f"{sum(claim.verdict == verdict for claim in claims)} {verdict}" for verdict in get_args(Verdict)]
    return f"{aligned(rows)}\n\n{len(claims)} claims: {', '.join(counts)}"


def _stands_on_card(claim: Claim) -> bool:
    return claim.interval is None or claim.name in _ON_CARD or re.fullmatch(_DETECTION, claim.name) is not None


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
