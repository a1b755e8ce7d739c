"""The report of a robustness evaluation, as plain JSON."""

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
    """The results of `evaluate_robustness`.

    Every estimate is ``{"value": …, "ci95": [low, high], "n": …}`` under a name that states its convention
    (`ece_15`, `fpr95_ood_positive`); proportions lie in [0, 1].

    Attributes:
        content: ``schema_version``, ``model``, ``data``, ``seed``, ``settings`` (batch size, the fingerprints of
            validation and reference data; not in older reports), ``versions``, ``axes`` (a dictionary an axis)
            and ``left_out`` (why an axis was not measured).
        kept: `predictions`, or the file that holds them; ignored when two reports are compared for equality.
    """

    content: dict[str, Any]
    kept: "Predictions | Path | None" = field(default=None, compare=False, repr=False)

    @cached_property
    def predictions(self) -> "Predictions | None":
        """The model's predictions for each example, read on first use; None where they were not kept, or where an
        example can have several classes.

        NumPy arrays: for the clean test set ``label``, ``predicted``, ``confidence`` and ``nll``, (N,);
        ``corrupted_accuracy``, (M,), the share of an example's corrupted versions that is classified correctly,
        with ``corrupted_row``, the examples' places in the test set; ``msp/NAME``, the largest probabilities on
        each OOD set.

        Raises:
            ValueError: the file belongs to another report.
        """
        if not isinstance(self.kept, Path):
            return self.kept
        from hfmix.robustness.predictions import load_predictions

        return load_predictions(self.kept, self.content["data"]["fingerprint_sha256"])

    @property
    def axes(self) -> dict[str, Any]:
        """The results of each axis that was measured, by its name."""
        return self.content["axes"]

    @property
    def temperature(self) -> float | None:
        """The divisor of the logits that calibrates the probabilities, where one was fitted on validation data."""
        return self.axes.get("calibration", {}).get("temperature_scaled", {}).get("temperature")

    def estimates(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields every estimate with its path in `axes`, such as ``corruptions/accuracy/contrast/5``."""
        yield from iter_estimates(self.axes)

    figures = estimates  # its former name, which scripts outside this repository may use

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain JSON values."""
        return self.content

    def save(self, folder: str | Path) -> None:
        """Writes ``robustness.json``, ``robustness.csv``, ``report.html``, ``figures/`` and `predictions`.

        The CSV has one row per estimate, with the columns `CSV_COLUMNS`; the page needs no other file.
        """
        from hfmix.robustness.predictions import PREDICTIONS_FILE, save_predictions
        from hfmix.robustness.presentation import draw
        from hfmix.robustness.presentation.html import page

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.predictions is None:
            (folder / PREDICTIONS_FILE).unlink(missing_ok=True)  # left by an earlier report
        else:
            save_predictions(self.predictions, self.content["data"]["fingerprint_sha256"], folder)
        (folder / "robustness.json").write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n")
        with (folder / "robustness.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(CSV_COLUMNS)
            for path, estimate in self.estimates():
                table.writerow([path.partition("/")[0], path, estimate["value"], *estimate["ci95"], estimate["n"]])
        drawn = draw(self.axes, folder / "figures")
        (folder / "report.html").write_text(page(self.content, drawn), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "RobustnessReport":
        """Reads what `save` wrote.

        Raises:
            ValueError: the folder holds no report, or one of another schema version.
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
