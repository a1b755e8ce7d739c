"""What an evaluation found, as plain JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class RobustnessReport:
    """The findings of `evaluate_robustness`.

    Every figure is ``{"value": …, "ci95": [low, high], "n": …}`` under a name that says its convention (`ece_15`,
    `fpr95_ood_positive`); proportions lie in [0, 1].

    Attributes:
        content: ``schema_version``, ``model``, ``data``, ``seed``, ``versions``, ``axes`` (a dictionary an axis)
            and ``left_out`` (why an axis was not measured).
    """

    content: dict[str, Any]

    @property
    def axes(self) -> dict[str, Any]:
        """What was measured, by axis."""
        return self.content["axes"]

    @property
    def temperature(self) -> float | None:
        """What to divide the logits by for calibrated probabilities, where it was fitted on validation data."""
        return self.axes.get("calibration", {}).get("temperature_scaled", {}).get("temperature")

    def figures(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All figures, each under its path in `axes`, such as ``corruptions/contrast/5/accuracy``."""
        yield from _figures(self.axes, ())

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return self.content

    def save(self, folder: str | Path) -> None:
        """Writes ``robustness.json`` and ``figures/`` into `folder`."""
        from hfmix.robustness.figures import draw_report

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "robustness.json").write_text(json.dumps(self.content, indent=1, allow_nan=False) + "\n")
        draw_report(self, folder / "figures")

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
        return cls(content)


def figure(value: float, interval: tuple[float, float], n: int) -> dict[str, Any]:
    """One figure of a report: the value, its 95 % interval, and how many examples it rests on."""
    return {"value": float(value), "ci95": [float(bound) for bound in interval], "n": int(n)}


def _figures(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return
    if {"value", "ci95", "n"} <= node.keys():
        yield "/".join(path), node
        return
    for key, child in node.items():
        yield from _figures(child, (*path, key))
