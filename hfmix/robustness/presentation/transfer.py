"""The figure of a transfer matrix."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hfmix.robustness.presentation.style import BAD_TO_GOOD, STYLE, short
from hfmix.robustness.transfer import transfer_title


def draw_transfer(found: Mapping[str, Any]) -> Figure:
    """A result of `transfer_matrix` as a heat map; the white box is in bold."""
    names = list(found["clean"])
    values = np.array(
        [[row[name]["value"] for name in names] for row in (found["clean"], *found["accuracy"].values())]
    )
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(2.6 + 1.1 * len(names), 2 + 0.45 * len(values)), layout="constrained")
        ax = drawn.subplots()
        ax.imshow(values, cmap=BAD_TO_GOOD, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            weight = "bold" if i == j + 1 else "normal"
            ax.text(j, i, f"{100 * value:.1f}", ha="center", va="center", weight=weight)
        ax.axhline(0.5, color="white", linewidth=3)
        ax.set_xticks(range(len(names)), [fill(short(name, 42), 14) for name in names])
        ax.set_yticks(range(len(values)), ["clean", *(short(name) for name in names)])
        ax.set(xlabel="tested on", ylabel="made on")
        ax.set_title(f"Accuracy, %, under {transfer_title(found)}", fontsize=10, loc="center")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    return drawn
