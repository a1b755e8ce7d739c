"""Figures of a model under corruption: by corruption and severity, their means, and against AlexNet's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hfmix.data.kinds.audio import Sound, SoundPreprocessor
from hfmix.data.kinds.base import Preprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.metrics import bootstrap_interval, mean_interval, reliability_bins, wilson_interval
from hfmix.metrics.calibration import calibration_errors
from hfmix.metrics.corruption_error import mean_corruption_error, relative_mean_corruption_error
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.robustness.axes.calibration import NUM_BINS
from hfmix.robustness.corruptions import corruption_names
from hfmix.robustness.corruptions.cifar_c import CifarC
from hfmix.robustness.corruptions.image import corrupt
from hfmix.robustness.corruptions.image.constants import QUIRKS, SEVERITIES
from hfmix.robustness.corruptions.image.textures import frost_source
from hfmix.robustness.estimates import estimate
from hfmix.robustness.predictions import Predictions


def corruption_axis(
    correct: np.ndarray, confidence: np.ndarray, nll: np.ndarray, corruptions: Sequence[str], seed: int
) -> dict[str, Any]:
    """Accuracy, ECE and NLL; intervals of means resample examples, each with all its corrupted versions.

    Args:
        correct, confidence, nll: (corruptions, severities, N), as `Corrupted` holds them.
        corruptions: their names, in order.
        seed: of the bootstrap.

    Returns:
        ``mean_accuracy``, ``mean_ece_15``, ``mean_nll`` over all cells; ``mean_accuracy_by_severity``;
        ``accuracy``, corruption to severity to figure.
    """
    n = correct.shape[2]

    def mean(part: np.ndarray) -> dict[str, Any]:
        by_example = part.reshape(-1, n).mean(0)
        return estimate(by_example.mean(), mean_interval(by_example, (0, 1)), n)

    mean_nll = nll.reshape(-1, n).mean(0, dtype=np.float64)

    return {
        "mean_accuracy": mean(correct),
        "mean_ece_15": _mean_ece(correct, confidence, seed),
        "mean_nll": estimate(mean_nll.mean(), bootstrap_interval(np.mean, (mean_nll,), seed=seed), n),
        "mean_accuracy_by_severity": {str(s): mean(correct[:, j]) for j, s in enumerate(SEVERITIES)},
        "accuracy": {
            name: {
                str(severity): estimate(correct[i, j].mean(), wilson_interval(int(correct[i, j].sum()), n), n)
                for j, severity in enumerate(SEVERITIES)
            }
            for i, name in enumerate(corruptions)
        },
    }


def against_alexnet(
    correct: np.ndarray, clean_correct: np.ndarray, corruptions: Sequence[str], seed: int
) -> dict[str, Any]:
    """``mce_alexnet`` and ``relative_mce_alexnet``, as ratios, for a model of ImageNet's 1,000 classes.

    Args:
        correct: (corruptions, severities, N), the fifteen published corruptions among them.
        clean_correct: (N,), the same examples without corruption.
        corruptions: their names, in order.
        seed: of the bootstrap.
    """
    n = correct.shape[2]

    def both(counts: np.ndarray) -> tuple[float, float]:
        errors = {name: 1 - correct[i] @ counts / counts.sum() for i, name in enumerate(corruptions)}
        clean = 1 - clean_correct @ counts / counts.sum()
        relative = relative_mean_corruption_error(errors, clean, ALEXNET_ERRORS, ALEXNET_CLEAN_ERROR)
        return mean_corruption_error(errors, ALEXNET_ERRORS), relative

    draws = np.array([both(drawn) for (counts,) in bootstrap_counts(n, seed=seed, draws=200) for drawn in counts])
    names = ("mce_alexnet", "relative_mce_alexnet")
    return {
        name: estimate(value, interval_of_draws(value, draws[:, k]), n)
        for k, (name, value) in enumerate(zip(names, both(np.ones(n)), strict=True))
    }


def _mean_ece(correct: np.ndarray, confidence: np.ndarray, seed: int) -> dict[str, Any]:
    """The mean over the cells of their ECE."""
    n = correct.shape[2]
    cells = list(zip(correct.reshape(-1, n), confidence.reshape(-1, n).astype(np.float64), strict=True))
    value = float(np.mean([reliability_bins(sure, right, NUM_BINS).calibration_error() for right, sure in cells]))
    draws = []
    for (counts,) in bootstrap_counts(n, seed=seed):
        total = np.zeros(len(counts))
        for right, sure in cells:
            total += calibration_errors(sure, right, counts, NUM_BINS)
        draws.append(total / len(cells))
    return estimate(value, interval_of_draws(value, np.concatenate(draws), (0, 1)), n)


ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
# top-1 on the clean validation set (Hendrycks & Dietterich 2019, table 1: 43.5 %)
ALEXNET_CLEAN_ERROR = 0.435


def corrupter(
    preprocessor: Preprocessor,
    examples: Sequence[Any],
    seed: int,
    first: int,
    mode: Literal["parity", "corrected"],
    device: torch.device,
) -> Callable[[str, int], Mapping[str, Tensor]]:
    """What turns a corruption and a severity into the model's inputs for these examples.

    Images are corrupted after resize and crop and before normalisation, or before the processor where it cannot be
    taken apart; clips at their own sampling rate, before all else.

    Args:
        preprocessor: the model's.
        examples: of one batch.
        seed: of the corruptions.
        first: the index of the first example; the others follow.
        mode: see `hfmix.corrupt`.
        device: where images are corrupted.
    """
    if isinstance(preprocessor, SoundPreprocessor):
        return lambda name, severity: preprocessor.inputs(_sounds(examples, name, severity, seed, first))
    assert isinstance(preprocessor, ImagePreprocessor)
    if preprocessor.separable:
        levels = preprocessor.levels(preprocessor.pixel_values(list(examples))).to(device)
        return lambda name, severity: {
            "pixel_values": preprocessor.normalize(corrupt(levels, name, severity, seed, first, mode))
        }

    def before_processor(name: str, severity: int) -> Mapping[str, Tensor]:
        arrays = [np.array(image) for image in examples]
        changed = [corrupt(array, name, severity, seed, first + i, mode) for i, array in enumerate(arrays)]
        return {"pixel_values": preprocessor.pixel_values([Image.fromarray(array) for array in changed])}

    return before_processor


def reader(
    preprocessor: Preprocessor, stored: CifarC, rows: np.ndarray
) -> Callable[[str, int], Mapping[str, Tensor]]:
    """The same from images that were corrupted before, for these rows of the test set."""

    def read(name: str, severity: int) -> Mapping[str, Tensor]:
        return preprocessor.inputs([Image.fromarray(image) for image in stored.images(name, severity, rows)])

    return read


def check_names(names: Sequence[str] | None, kind: str) -> list[str]:
    """The corruptions of `names`, or the usual ones for a kind of data.

    Raises:
        ValueError: there is none of that name.
    """
    usual = corruption_names(kind)
    if names is None:
        return usual
    known = corruption_names(kind, extra=True)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"unknown corruption {unknown[0]!r}: there are {', '.join(known)}")
    return list(names)


def how_applied(
    preprocessor: Preprocessor,
    names: Sequence[str],
    mode: Literal["parity", "corrected"],
    stored: CifarC | None = None,
) -> dict[str, Any]:
    """What a report says of where and how corruption came in."""
    if stored is not None:
        return {"applied": f"before the processor, read from {stored.folder.name}"}
    if isinstance(preprocessor, SoundPreprocessor):
        return {"applied": "to the clip, at its own sampling rate"}
    separable = isinstance(preprocessor, ImagePreprocessor) and preprocessor.separable
    said = {
        "applied": "after resize and crop, before normalisation" if separable else "before the processor",
        "mode": mode,
        "quirks": {name: QUIRKS[name] for name in ("all", *names) if name in QUIRKS},
    }
    return {**said, "frost": frost_source()} if "frost" in names else said


def _sounds(clips: Sequence[Sound], name: str, severity: int, seed: int, first: int) -> list[Sound]:
    from hfmix.robustness.corruptions.audio import corrupt_sound  # scipy.signal takes a while to import

    return [
        Sound(
            corrupt_sound(
                clip.samples, name, severity, sampling_rate=clip.sampling_rate, seed=seed, first_index=first + i
            ),
            clip.sampling_rate,
        )
        for i, clip in enumerate(clips)
    ]


def corrupted_predictions(correct: np.ndarray, positions: np.ndarray) -> Predictions:
    """``corrupted_accuracy``, (M,), the mean over all cells; ``corrupted_row``, whose it is.

    Args:
        correct: (corruptions, severities, M).
        positions: (M,) places in the test set.
    """
    by_example = correct.mean((0, 1), dtype=np.float64)
    return {"corrupted_accuracy": by_example, "corrupted_row": positions.astype(np.int64)}
