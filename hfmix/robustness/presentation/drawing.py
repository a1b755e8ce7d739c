"""The figures of a report, drawn from the report alone, to be read at the width of a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from hfmix.robustness.presentation.adversarial import draw_adversarial
from hfmix.robustness.presentation.calibration import _draw_reliability
from hfmix.robustness.presentation.corruptions import _draw_corruptions
from hfmix.robustness.presentation.interpolation import draw_interpolation
from hfmix.robustness.presentation.memorization import draw_memorization
from hfmix.robustness.presentation.ood import _draw_ood, draw_roc
from hfmix.robustness.presentation.selective import draw_risk_coverage
from hfmix.robustness.presentation.shift import _draw_shift
from hfmix.robustness.presentation.style import STYLE
from hfmix.robustness.report import RobustnessReport


def draw_report(report: RobustnessReport, folder: Path) -> dict[str, list[Path]]:
    """Writes the figures of the axes that the report has, by axis; those of an earlier report go.

    ``reliability.png``, ``risk_coverage.png``, ``corruptions.png``, ``shift.png``, ``ood.png``, ``roc.png``,
    ``adversarial.png``, ``interpolation.png`` and ``memorization.png``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, list[Path]] = {}
    for file, axis, draw in FIGURES:
        if axis in report.axes:
            with matplotlib.rc_context(STYLE):
                draw(report.axes).savefig(folder / file)
            drawn.setdefault(axis, []).append(folder / file)
        else:
            (folder / file).unlink(missing_ok=True)
    return drawn


FIGURES: tuple[tuple[str, str, Callable[[dict[str, Any]], Figure]], ...] = (
    ("reliability.png", "calibration", _draw_reliability),
    ("risk_coverage.png", "selective", lambda axes: draw_risk_coverage(axes["selective"])),
    ("corruptions.png", "corruptions", _draw_corruptions),
    ("shift.png", "shift", _draw_shift),
    ("ood.png", "ood", _draw_ood),
    ("roc.png", "ood", lambda axes: draw_roc(axes["ood"])),
    ("adversarial.png", "adversarial", lambda axes: draw_adversarial(axes["adversarial"])),
    ("interpolation.png", "interpolation", lambda axes: draw_interpolation(axes["interpolation"])),
    ("memorization.png", "memorization", lambda axes: draw_memorization(axes["memorization"])),
)
