"""Log-mel spectrograms, and the feature extractor that makes them for the nets of `hfmix.models.audio`."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BatchFeature
from transformers.audio_utils import mel_filter_bank
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.utils import TensorType

_FLOOR = 1e-10  # of the mel powers, 100 dB below those of a full-scale tone


def log_mel(
    waveforms: Tensor,
    sampling_rate: int = 16_000,
    num_mel_bins: int = 64,
    window: int = 400,
    hop: int = 160,
) -> Tensor:
    """Logarithm of the power in mel bands.

    Hann windows centred on multiples of the hop, the ends mirrored; Slaney's mel scale, each band's filter of the
    same area (as librosa and Whisper have it). Differentiable, on any device.

    Args:
        waveforms: (B, L) in [-1, 1], L > n_fft / 2 where n_fft is the power of two from `window` on.
        sampling_rate: in Hz.
        num_mel_bins: bands from 0 to half the sampling rate.
        window, hop: in samples.

    Returns:
        (B, bands, 1 + L // hop), natural logarithms of powers.
    """
    n_fft = 1 << (window - 1).bit_length()
    hann = torch.hann_window(window, device=waveforms.device, dtype=waveforms.dtype)
    spectrum = torch.stft(waveforms, n_fft, hop, window, hann, pad_mode="reflect", return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()
    filters = _filters(n_fft // 2 + 1, num_mel_bins, sampling_rate).to(power)
    return (filters.T @ power).clamp(min=_FLOOR).log()


@lru_cache
def _filters(frequencies: int, bands: int, sampling_rate: int) -> Tensor:
    """(frequencies, bands)."""
    bank = mel_filter_bank(frequencies, bands, 0.0, sampling_rate / 2, sampling_rate, "slaney", "slaney")
    return torch.from_numpy(bank)


class LogMelFeatureExtractor(SequenceFeatureExtractor):
    """Clips to (bands, frames) log-mel spectrograms of a fixed length, each normalised by itself.

    mixup's paper (arXiv 1710.09412, section 3.3) trains on normalised spectrograms of one second, padded with
    zeros; as in adiyoss/GCommandsPytorch each clip has mean 0 and deviation 1, so that its level does not matter,
    and the zeros are its mean. A longer clip is cut to its middle.

    Args:
        sampling_rate: of the clips, in Hz.
        num_mel_bins: bands.
        clip_seconds: length of a clip, in seconds.
        window_seconds, hop_seconds: of the frames.
    """

    model_input_names = ("input_features",)

    def __init__(
        self,
        sampling_rate: int = 16_000,
        num_mel_bins: int = 64,
        clip_seconds: float = 1.0,
        window_seconds: float = 0.025,
        hop_seconds: float = 0.01,
        **kwargs: Any,
    ) -> None:
        kwargs = {"feature_size": num_mel_bins, "padding_value": 0.0} | kwargs
        super().__init__(sampling_rate=sampling_rate, **kwargs)
        self.num_mel_bins = num_mel_bins
        self.clip_seconds = clip_seconds
        self.window_seconds = window_seconds
        self.hop_seconds = hop_seconds

    @property
    def num_frames(self) -> int:
        """Frames of a spectrogram."""
        return 1 + round(self.clip_seconds * self.sampling_rate) // round(self.hop_seconds * self.sampling_rate)

    def __call__(
        self,
        raw_speech: np.ndarray | list[float] | list[np.ndarray],
        sampling_rate: int | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """``input_features``, (B, bands, frames) float32.

        Args:
            raw_speech: one clip (L,), or a list of clips of any lengths.
            sampling_rate: theirs.
            return_tensors: "pt", or "np" (the default).
            **kwargs: taken for the sake of pipelines; lengths are fixed.

        Raises:
            ValueError: the clips have another sampling rate.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(f"clips of {sampling_rate} Hz: resample them to the model's {self.sampling_rate} Hz")
        is_one = isinstance(raw_speech[0], int | float | np.floating)
        features = np.stack([self._features(np.asarray(c)) for c in ([raw_speech] if is_one else raw_speech)])
        return BatchFeature({"input_features": features}, tensor_type=return_tensors)

    def _features(self, clip: np.ndarray) -> np.ndarray:
        length = round(self.clip_seconds * self.sampling_rate)
        start = max(0, (len(clip) - length) // 2)
        clip = torch.from_numpy(np.ascontiguousarray(clip[start : start + length], dtype=np.float32))
        window, hop = (round(seconds * self.sampling_rate) for seconds in (self.window_seconds, self.hop_seconds))
        if len(clip) <= window:  # too short to be mirrored
            clip = torch.nn.functional.pad(clip, (0, window + 1 - len(clip)))
        spectrum = log_mel(clip[None], self.sampling_rate, self.num_mel_bins, window, hop)[0]
        spectrum = (spectrum - spectrum.mean()) / spectrum.std().clamp(min=1e-5)
        padded = torch.zeros(self.num_mel_bins, self.num_frames)
        padded[:, : spectrum.shape[1]] = spectrum
        return padded.numpy()
