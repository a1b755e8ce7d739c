"""A transfer matrix as a title, a table, a picture and files."""

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from hfmix.robustness.names import ATTACK_NAMES, NORM_NAMES, eps_name
from hfmix.robustness.presentation.base import show
from hfmix.robustness.presentation.style import STYLE, bad_to_good, new_figure, short
from hfmix.utils.text import unpadded_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_transfer(matrix: Mapping[str, Any], folder: str | Path) -> None:
    """Writes a result of `transfer_matrix` as ``transfer.json``, ``transfer.md`` and ``transfer.png``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "transfer.json").write_text(json.dumps(matrix, indent=1, allow_nan=False) + "\n")
    (folder / "transfer.md").write_text(transfer_table(matrix), encoding="utf-8")
    draw_transfer(matrix).savefig(folder / "transfer.png", dpi=STYLE["figure.dpi"])


def transfer_table(matrix: Mapping[str, Any]) -> str:
    """Returns a result of `transfer_matrix` as Markdown: a row a source, a column a target, white box in bold."""
    names = list(matrix["clean"])
    rows = [
        ["made on ↓, tested on →", *names],
        ["clean", *(show(matrix["clean"][name], 100, 1) for name in names)],
    ]
    for source, row in matrix["accuracy"].items():
        cells = (show(row[target], 100, 1) for target in names)
        rows.append([source, *(f"**{c}**" if t == source else c for t, c in zip(names, cells, strict=True))])
    return f"Accuracy in % under {transfer_title(matrix)}, with 95 % intervals:\n\n{unpadded_table(rows)}"


def draw_transfer(matrix: Mapping[str, Any]) -> "Figure":
    """Draws a result of `transfer_matrix` as a heat map; the white box is in bold."""
    import matplotlib

    names = list(matrix["clean"])
    values = np.array(
        [[row[name]["value"] for name in names] for row in (matrix["clean"], *matrix["accuracy"].values())]
    )
    with matplotlib.rc_context(STYLE):
        figure = new_figure(2.6 + 1.1 * len(names), 2 + 0.45 * len(values))
        ax = figure.subplots()
        ax.imshow(values, cmap=bad_to_good(), vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            weight = "bold" if i == j + 1 else "normal"
            ax.text(j, i, f"{100 * value:.1f}", ha="center", va="center", weight=weight)
        ax.axhline(0.5, color="white", linewidth=3)
        ax.set_xticks(range(len(names)), [fill(short(name, 42), 14) for name in names])
        ax.set_yticks(range(len(values)), ["clean", *(short(name) for name in names)])
        ax.set(xlabel="tested on", ylabel="made on")
        ax.set_title(f"Accuracy, %, under {transfer_title(matrix)}", fontsize=10, loc="center")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    return figure


def transfer_title(matrix: Mapping[str, Any]) -> str:
    """Returns the attack in words, such as "PGD, 10 steps, L∞ ≤ 8/255"."""
    attack = matrix["attack"]
    steps = "" if attack["name"] == "fgsm" else f", {attack['steps']} steps"
    radius = eps_name(attack["eps"]).replace("_of_", "/")
    return f"{ATTACK_NAMES[attack['name']]}{steps}, {NORM_NAMES[attack['norm']]} ≤ {radius}"
