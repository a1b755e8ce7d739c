"""Policies that cut boxes: part of one example is pasted into another, and labels follow the share of pixels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from hfmix.mixing.plan import MixPlan
from hfmix.mixing.policies.base import Batch
from hfmix.mixing.policies.pairs import PairPolicy, pair_source, to_weights


@dataclass(frozen=True)
class CutMix(PairPolicy):
    """CutMix (Yun et al. 2019, arXiv 1905.04899): a box of the partner, √(1−λ) of each side, pasted into the row.

    The box has a uniform centre and is clipped at the border, as in the official code.

    Attributes:
        minmax: (low, high) in (0, 1]: each side's share is drawn uniformly between them, and the box lies wholly
            within the image, as with timm's ``cutmix_minmax``; labels then follow the box alone. None: λ decides.
        correct_lambda: labels follow the exact share of pixels; if False, the λ drawn, though a clipped box is
            smaller (at α = 1 and 224 pixels the mean area is 0.32, not 0.5).
    """

    minmax: tuple[float, float] | None = None
    correct_lambda: bool = True

    name: ClassVar[str] = "cutmix"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minmax is not None:
            self._check_range("minmax")

    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns N rows with a box each, which is empty where λ = 1."""
        extent = _image_extent(self.name, batch)
        if self.minmax is None:
            side = np.sqrt(1.0 - lam)
            box = draw_clipped_boxes(rng, np.stack([(size * side).astype(np.int64) for size in extent], 1), extent)
        else:
            low, high = self.minmax
            sizes = [rng.integers(int(size * low), int(size * high) + 1, size=len(lam)) for size in extent]
            box = draw_whole_boxes(rng, np.stack(sizes, axis=1), extent)
        drawn = None if self.correct_lambda or self.minmax is not None else lam[row_draw]
        return cut_plan(box[row_draw], partner, extent, label_lam=drawn)


@dataclass(frozen=True)
class ResizeMix(PairPolicy):
    """ResizeMix (Qin et al. 2020, arXiv 2012.11101): the whole partner, shrunk to τ of each side, pasted in.

    The place is uniform among those where the patch lies wholly within the row; the patch is resized by nearest
    neighbour. Labels follow the exact share of pixels.

    Attributes:
        scale: (low, high): τ = low + (high − low) · λ with λ ~ Beta(α, α); uniform at α = 1, as in the paper.
    """

    scale: tuple[float, float] = (0.1, 0.8)

    name: ClassVar[str] = "resizemix"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("scale")

    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns N rows with a box each, into which the whole partner is shrunk."""
        extent = _image_extent(self.name, batch)
        low, high = self.scale
        side = low + (high - low) * lam
        sizes = np.stack([np.maximum(1, (size * side).astype(np.int64)) for size in extent], axis=1)
        return cut_plan(draw_whole_boxes(rng, sizes, extent)[row_draw], partner, extent, resize=True)


@dataclass(frozen=True)
class TimeCutMix(PairPolicy):
    """CutMix in one dimension, for sound: 1−λ of the partner's time, pasted into the row at the same time.

    The stretch lies wholly within the row, at a uniform place, so that labels follow λ to one step of time.
    Padding counts as sound: where lengths differ much, cut clips to one length first.

    Attributes:
        axis: the batch's time dimension: −1 for waveforms (N, L) and spectrograms (N, mel, T), 1 for
            spectrograms (N, T, mel).
    """

    axis: int = -1

    name: ClassVar[str] = "time_cutmix"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.axis, int) or isinstance(self.axis, bool) or self.axis == 0:
            raise ValueError(f"{self.name}: axis is a dimension of the batch other than 0, not {self.axis!r}")

    def plan(
        self, lam: np.ndarray, row_draw: np.ndarray, partner: np.ndarray, batch: Batch, rng: np.random.Generator
    ) -> MixPlan:
        """Returns N rows with a stretch each, which is empty where λ = 1."""
        shape = batch.shape
        if shape is None or not -len(shape) <= self.axis <= len(shape):
            raise ValueError(_needs_shape(self.name, f"with dimension {self.axis} of the batch", shape))
        length = shape[self.axis if self.axis < 0 else self.axis - 1]
        sizes = np.rint(length * (1.0 - lam)).astype(np.int64)[:, None]
        stretch = draw_whole_boxes(rng, sizes, (length,))[row_draw]
        return cut_plan(stretch, partner, (length,), axes=(self.axis,))


def cut_plan(
    box: np.ndarray,
    partner: np.ndarray,
    extent: tuple[int, ...],
    *,
    label_lam: np.ndarray | None = None,
    axes: tuple[int, ...] = (-2, -1),
    resize: bool = False,
) -> MixPlan:
    """Returns the plan that pastes ``x[partner[r]]`` into box r of ``x[r]``, for boxes drawn elsewhere.

    A row that is its own partner gets no box and stays as it is.

    Args:
        box: (N, 2 d) integers, half-open: d starts, then d stops, within `extent`.
        partner: (N,) int64.
        extent: the batch's d sizes along `axes`.
        label_lam: (N,) weight of the row's own label; by default the exact share of pixels outside the box.
        resize: see `MixPlan`.
    """
    n = len(partner)
    box = np.where((partner != np.arange(n))[:, None], box, 0)
    starts, stops = np.split(box, 2, axis=1)
    left = 1.0 - (stops - starts).prod(axis=1) / np.prod(extent)
    weight = to_weights(np.stack([left, 1.0 - left], axis=1))
    label_weight = weight
    if label_lam is not None:
        label_weight = to_weights(np.stack([label_lam, 1.0 - label_lam], axis=1))
    return MixPlan(
        pair_source(partner),
        weight,
        label_weight,
        torch.ones(n),
        n,
        box=torch.from_numpy(box.astype(np.int64)),
        box_axes=axes,
        box_extent=extent,
        resize=resize,
    )


def draw_clipped_boxes(rng: np.random.Generator, sizes: np.ndarray, extent: tuple[int, ...]) -> np.ndarray:
    """Draws (count, 2 d) boxes of `sizes`, (count, d), around uniform centres, clipped to `extent`."""
    centre = np.stack([rng.integers(0, size, size=len(sizes)) for size in extent], axis=1)
    start = centre - sizes // 2
    return np.concatenate([np.maximum(start, 0), np.minimum(start + sizes, extent)], axis=1)


def draw_whole_boxes(rng: np.random.Generator, sizes: np.ndarray, extent: tuple[int, ...]) -> np.ndarray:
    """Draws (count, 2 d) boxes of `sizes`, (count, d), uniform among those wholly within `extent`."""
    start = rng.integers(0, np.asarray(extent) - sizes + 1)
    return np.concatenate([start, start + sizes], axis=1)


def _image_extent(name: str, batch: Batch) -> tuple[int, int]:
    if batch.shape is None:
        raise ValueError(_needs_shape(name, "(..., H, W)", batch.shape))
    if len(batch.shape) < 2:
        raise ValueError(
            f"{name} cuts boxes out of examples of shape (..., H, W), not {batch.shape}: use time_cutmix for sound"
        )
    return batch.shape[-2], batch.shape[-1]


def _needs_shape(name: str, expected: str, shape: tuple[int, ...] | None) -> str:
    return f"{name} needs the shape of one example, {expected}: sample(batch_size, shape=...), not {shape}"
