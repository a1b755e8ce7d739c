"""Log-mel spectrograms, and the feature extractor that makes them for `hfmix.models.nets.spectrogram`."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature
from transformers.audio_utils import mel_filter_bank
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.utils import TensorType

_FLOOR = 1e-10  # smallest mel power, 100 dB below that of a full-scale tone


def log_mel(
    waveforms: Tensor,
    sampling_rate: int = 16_000,
    num_mel_bins: int = 64,
    window: int = 400,
    hop: int = 160,
) -> Tensor:
    """Computes the logarithm of the power in mel bands.

    Hann windows are centred on multiples of the hop, with the ends mirrored. The mel scale is Slaney's, with
    filters of equal area (as in librosa and Whisper). Differentiable, on any device.

    Args:
        waveforms: (B, L) in [-1, 1], L > n_fft / 2, where n_fft is the smallest power of two ≥ `window`.
        sampling_rate: in Hz.
        num_mel_bins: number of bands from 0 to half the sampling rate.
        window, hop: length of a window and distance between windows, in samples.

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
    """Computes the mel filters, (frequencies, bands)."""
    bank = mel_filter_bank(frequencies, bands, 0.0, sampling_rate / 2, sampling_rate, "slaney", "slaney")
    return torch.from_numpy(bank)


class LogMelFeatureExtractor(SequenceFeatureExtractor):
    """A feature extractor from clips to log-mel spectrograms of a fixed length, (bands, frames), each normalised.

    mixup's paper (arXiv 1710.09412, section 3.3) trains on normalised spectrograms of one second, padded with
    zeros. As in adiyoss/GCommandsPytorch, each clip is normalised to mean 0 and standard deviation 1, so that its
    level does not matter and the padding equals its mean. A longer clip is cut to its middle.

    Args:
        sampling_rate: rate of the clips, in Hz.
        num_mel_bins: number of bands.
        clip_seconds: length of a clip, in seconds.
        window_seconds, hop_seconds: length of a frame and distance between frames, in seconds.
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
        """Returns the number of frames of a spectrogram."""
        return 1 + round(self.clip_seconds * self.sampling_rate) // round(self.hop_seconds * self.sampling_rate)

    def __call__(
        self,
        raw_speech: np.ndarray | list[float] | list[np.ndarray],
        sampling_rate: int | None = None,
        return_tensors: str | TensorType | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Computes ``input_features``, (B, bands, frames) float32.

        Args:
            raw_speech: one clip (L,), or a list of clips of any lengths.
            sampling_rate: rate of the clips, in Hz.
            return_tensors: "pt", or "np" (the default).
            **kwargs: ignored; pipelines pass padding options, but lengths are fixed.

        Raises:
            ValueError: the clips have another sampling rate.
        """
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            raise ValueError(f"clips of {sampling_rate} Hz: resample them to the model's {self.sampling_rate} Hz")
        is_one = isinstance(raw_speech[0], int | float | np.floating)
        clips = [torch.from_numpy(self.cut(np.asarray(c))) for c in ([raw_speech] if is_one else raw_speech)]
        lengths = torch.tensor([len(clip) for clip in clips])
        features = self.spectrograms(pad_sequence(clips, batch_first=True), lengths)
        return BatchFeature({"input_features": features.numpy()}, tensor_type=return_tensors)

    def cut(self, clip: np.ndarray) -> np.ndarray:
        """Cuts a longer clip to its middle; returns (L,) float32."""
        length = round(self.clip_seconds * self.sampling_rate)
        start = max(0, (len(clip) - length) // 2)
        return np.ascontiguousarray(clip[start : start + length], dtype=np.float32)

    def spectrograms(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """Computes the net's input; differentiable, on any device.

        Args:
            clips: (B, L), no longer than `clip_seconds`, padded with any values.
            lengths: (B,) integers, the lengths without padding.

        Returns:
            (B, bands, frames).
        """
        features = clips.new_zeros(len(clips), self.num_mel_bins, self.num_frames)
        for length in lengths.unique().tolist():  # one length at a time, since the end of a clip is mirrored
            rows = lengths == length
            spectra = self._normalised(clips[rows, :length])
            features[rows, :, : spectra.shape[2]] = spectra
        return features

    def _normalised(self, clips: Tensor) -> Tensor:
        """Computes normalised spectrograms, (B, bands, frames), of clips of one length, (B, L)."""
        window, hop = (round(seconds * self.sampling_rate) for seconds in (self.window_seconds, self.hop_seconds))
        if clips.shape[1] <= window:  # too short to be mirrored
            clips = torch.nn.functional.pad(clips, (0, window + 1 - clips.shape[1]))
        spectra = log_mel(clips, self.sampling_rate, self.num_mel_bins, window, hop)
        spectra = spectra - spectra.mean((1, 2), keepdim=True)
        return spectra / spectra.std((1, 2), keepdim=True).clamp(min=1e-5)
