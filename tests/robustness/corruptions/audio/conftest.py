"""Clips to corrupt: a synthetic voice at any rate, and real words."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from datasets import Audio, load_dataset

Voice = Callable[..., np.ndarray]


@pytest.fixture
def voice() -> Voice:
    """`voice(seconds, sampling_rate, pitch=120)`: harmonics under two formants, four syllables a second."""

    def speak(seconds: float, sampling_rate: int, pitch: float = 120.0) -> np.ndarray:
        time = np.arange(round(seconds * sampling_rate)) / sampling_rate
        glide = pitch * (time + 0.05 * np.sin(2 * np.pi * time))
        clip = np.zeros_like(time)
        for i in range(1, int(min(sampling_rate / 2.5, 7000) / pitch)):
            formants = 1 / (1 + (i * pitch / 700 - 1) ** 2) + 0.3 / (1 + (i * pitch / 2000 - 1) ** 2)
            clip += formants / i**0.5 * np.cos(2 * np.pi * i * glide + i * i)
        clip *= np.sin(4 * np.pi * time) ** 2
        return (clip / np.abs(clip).max() / 2).astype(np.float32)

    return speak


@pytest.fixture(params=[("fsdd", 8000), ("speech_commands_mini", 16000)], ids=["8 kHz", "16 kHz"])
def words(request, shared_data) -> tuple[list[np.ndarray], int]:
    """Eight spoken words and their sampling rate."""
    name, sampling_rate = request.param
    path = str(shared_data / name / "test.parquet")
    rows = load_dataset("parquet", data_files=path, split="train[:8]").cast_column("audio", Audio(decode=False))
    clips = [soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32") for row in rows]
    assert {rate for _, rate in clips} == {sampling_rate}
    return [clip for clip, _ in clips], sampling_rate
