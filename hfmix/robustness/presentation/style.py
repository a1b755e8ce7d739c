"""How all figures look."""

from typing import Any

from matplotlib.colors import LinearSegmentedColormap


def percent(found: dict[str, Any]) -> str:
    return f"{100 * found['value']:.1f} %"


# Okabe & Ito's palette: told apart also with colour-vision deficiency
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#8a8a8a"
# light enough for black figures on every colour
BAD_TO_GOOD = LinearSegmentedColormap.from_list("bad_to_good", ["#e8895a", "#fbf3e4", "#8fc4e0"])
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.dpi": 150,
}
WIDTH = 8.0  # inches of a figure with two panels abreast: shown at 800 pixels, its small print has some 12


def short(name: str, length: int = 24) -> str:
    """A name from users, as a label: without underscores, and cut where it is long."""
    text = name.replace("_", " ").replace("$", r"\$")
    return text if len(text) <= length else text[: length - 1] + "…"
