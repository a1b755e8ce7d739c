"""What an evaluation found, as plain JSON."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfmix.robustness.estimates import iter_estimates

if TYPE_CHECKING:
    from hfmix.robustness.predictions import Predictions


SCHEMA_VERSION = 1
CSV_COLUMNS = ("axis", "path", "value", "low", "high", "n")


@dataclass(frozen=True)
class RobustnessReport:
    """The findings of `evaluate_robustness`.

    Every figure is ``{"value": …, "ci95": [low, high], "n": …}`` under a name that says its convention (`ece_15`,
    `fpr95_ood_positive`); proportions lie in [0, 1].

    Attributes:
        content: ``schema_version``, ``model``, ``data``, ``seed``, ``settings`` (batch size, the fingerprints of
            validation and reference data; not in older reports), ``versions``, ``axes`` (a dictionary an axis)
            and ``left_out`` (why an axis was not measured).
        kept: `predictions`, or the file that holds them; no part of what makes two reports equal.
    """

    content: dict[str, Any]
    kept: "Predictions | Path | None" = field(default=None, compare=False, repr=False)

    @cached_property
    def predictions(self) -> "Predictions | None":
        """What the model said of each example, read when it is first asked for; None where it was not kept,
        or where an example can have several classes.

        NumPy arrays: of the clean test set ``label``, ``predicted``, ``confidence`` and ``nll``, (N,);
        ``corrupted_accuracy``, (M,), the share of all corrupted versions that is right, with ``corrupted_row``,
        the examples' places in the test set; ``msp/NAME``, the largest probabilities on each OOD set.

        Raises:
            ValueError: the file belongs to another report.
        """
        if not isinstance(self.kept, Path):
            return self.kept
        from hfmix.robustness.predictions import load_predictions

        return load_predictions(self.kept, self.content["data"]["fingerprint_sha256"])

    @property
    def axes(self) -> dict[str, Any]:
        """What was measured, by axis."""
        return self.content["axes"]

    @property
    def temperature(self) -> float | None:
        """What to divide the logits by for calibrated probabilities, where it was fitted on validation data."""
        return self.axes.get("calibration", {}).get("temperature_scaled", {}).get("temperature")

    def estimates(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All figures, each under its path in `axes`, such as ``corruptions/contrast/5/accuracy``."""
        yield from iter_estimates(self.axes)

    figures = estimates  # the name that it had before

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return self.content

    def save(self, folder: str | Path) -> None:
        """Writes ``robustness.json``, ``robustness.csv``, ``report.html``, ``figures/`` and `predictions`.

        The CSV has one row a figure, with the columns `CSV_COLUMNS`; the page needs no other file.
        """
        from hfmix.robustness.predictions import PREDICTIONS_FILE, save_predictions
        from hfmix.robustness.presentation import draw
        from hfmix.robustness.presentation.html import page

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.predictions is None:
            (folder / PREDICTIONS_FILE).unlink(missing_ok=True)  # of an earlier report
        else:
            save_predictions(self.predictions, self.content["data"]["fingerprint_sha256"], folder)
        (folder / "robustness.json").write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n")
        with (folder / "robustness.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(CSV_COLUMNS)
            for path, found in self.estimates():
                table.writerow([path.partition("/")[0], path, found["value"], *found["ci95"], found["n"]])
        drawn = draw(self.axes, folder / "figures")
        (folder / "report.html").write_text(page(self.content, drawn), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "RobustnessReport":
        """Reads what `save` wrote.

        Raises:
            ValueError: there is no report in the folder, or it is of another version.
        """
        path = Path(folder, "robustness.json")
        if not path.is_file():
            raise ValueError(f"no robustness.json in {str(folder)!r}: is it a finished run?")
        try:
            content = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise ValueError(f"{path} has schema_version {version!r}, this hfmix reads {SCHEMA_VERSION}")
        predictions = Path(folder, "predictions.safetensors")
        return cls(content, predictions if predictions.is_file() else None)
