"""Checks that a drawn figure is readable."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


def check_layout(figure: Figure) -> None:
    """No text reaches beyond the figure, and none lies over another."""
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    for ax in figure.axes:
        legend = ax.get_legend()
        texts += [text for text in ax.findobj(Text) if text.get_text() and _shown(text, ax)]
        texts += legend.get_texts() if legend else []
    boxes = [(text.get_text(), text.get_window_extent()) for text in dict.fromkeys(texts)]
    assert len(boxes) > 3
    for i, (text, box) in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width + 1 and box.y1 <= height + 1, text
        for other, its in boxes[:i]:
            assert not box.shrunk(0.9, 0.8).overlaps(its.shrunk(0.9, 0.8)), (text, other)


def _shown(text: Text, ax: Axes) -> bool:
    """Tick labels beyond the axis' limits, and those that a shared axis hides, are not drawn."""
    box, area = text.get_window_extent(), ax.get_window_extent()
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    within = area.x0 - 1 <= x <= area.x1 + 1 or area.y0 - 1 <= y <= area.y1 + 1
    return text.get_visible() and box.width > 0 and within
