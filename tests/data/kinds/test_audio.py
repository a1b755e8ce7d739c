"""Clips from every container and rate, changed by key, as each kind of model takes them."""

import io
import logging

import numpy as np
import pytest
import soundfile
import torch
from clips import clips, tone
from datasets import Audio, Dataset, DatasetDict, Features, Value
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

from hfmix.data.arguments import DataArguments
from hfmix.data.augment.audio import ToFeatures, spec_augment, time_shift
from hfmix.data.augment.image import ToPixels
from hfmix.data.columns import Columns
from hfmix.data.datasets.map_style import Examples, transform_for
from hfmix.data.kinds.audio import Sound, SoundPreprocessor
from hfmix.data.sources import open as sources
from hfmix.data.sources.open import open_dataset
from hfmix.data.splits import as_labelled
from hfmix.models.processors.log_mel import LogMelFeatureExtractor
from hfmix.utils.randomness import keyed_randomness


@pytest.mark.parametrize(("file", "tolerance"), [("WAV", 2**-15), ("FLAC", 2**-15), ("OGG", 0.05)])
def test_a_clip_is_read_from_its_container(file, tolerance):
    """Lossless ones to half a level of 16 bits; Vorbis as near as it is."""
    sent = tone(440, 0.5)
    (read,) = (as_labelled(clips([sent], [1], file=file)).example(0),)
    assert read.sampling_rate == 16_000 and read.samples.dtype == np.float32
    assert np.abs(read.samples - sent).max() <= tolerance


def test_channels_are_averaged():
    both = np.stack([tone(440, 0.1), np.zeros(1600, np.float32)], axis=1)
    read = as_labelled(clips([both], [0])).example(0)
    np.testing.assert_allclose(read.samples, tone(440, 0.1) / 2, atol=2**-14)


def stored(content: bytes) -> Dataset:
    stored = Features({"audio": {"bytes": Value("binary"), "path": Value("string")}, "label": Value("int64")})
    rows = {"audio": [{"bytes": content, "path": None}], "label": [0]}
    return Dataset.from_dict(rows, features=stored).cast_column("audio", Audio(decode=False))


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 8000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no sound", "data row 0 is not sound that can be read"),
        (wav(np.zeros(0, np.float32)), "data row 0 is a clip without samples"),
        (wav(np.array([0.1, np.nan], np.float32)), "data row 0 holds samples that are not finite"),
    ],
    ids=["no sound", "empty", "not finite"],  # a WAV file holds the time at which it was written
)
def test_a_clip_that_cannot_be_used_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        as_labelled(stored(content)).example(0)


@pytest.mark.parametrize(("of", "to"), [(8_000, 16_000), (48_000, 16_000), (44_100, 16_000)])
def test_another_rate_keeps_the_tone(of, to):
    """Away from the ends, where the filter has no neighbours, it is the same sine to 1 %."""
    resampled = Sound(tone(440, 1, of), of).at(to)
    assert resampled.sampling_rate == to and len(resampled.samples) == to
    np.testing.assert_allclose(resampled.samples[1000:-1000], tone(440, 1, to)[1000:-1000], atol=5e-3)


def test_what_the_lower_rate_cannot_hold_is_gone():
    assert np.abs(Sound(tone(7_000, 1), 16_000).at(8_000).samples[500:-500]).max() < 5e-3


@pytest.mark.parametrize("above", ["", "train"])
def test_a_folder_of_clips_is_a_data_set(tmp_path, above):
    for word in ("no", "yes"):
        (tmp_path / above / word).mkdir(parents=True)
        for i in range(3):
            soundfile.write(tmp_path / above / word / f"{i}.flac", tone(300 + 100 * i, 0.1 * (i + 1)), 16_000)
    if above:
        (tmp_path / "test" / "yes").mkdir(parents=True)
        soundfile.write(tmp_path / "test" / "yes" / "a.wav", tone(440, 0.5), 16_000)
    opened = open_dataset(str(tmp_path))
    data = as_labelled(opened["train"])
    assert data.kind == "audio" and data.class_names == ["no", "yes"] and data.labels.tolist() == [0] * 3 + [1] * 3
    assert len(data.example(5).samples) == 4800
    assert set(opened) == ({"train", "test"} if above else {"train"})
    if above:
        assert as_labelled(opened["test"], class_names=data.class_names).labels.tolist() == [1]


def test_a_clip_without_a_class_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    soundfile.write(tmp_path / "train" / "a.wav", tone(440, 0.1), 16_000)
    with pytest.raises(ValueError, match=r"1 file lies directly in train: make one subfolder per class"):
        open_dataset(str(tmp_path))


def test_a_script_on_the_hub_is_read_as_the_hubs_parquet(monkeypatch):
    """No script is run: the revision with the Hub's own conversion is asked for."""
    asked = []

    def load(source, config, revision=None, streaming=False):
        asked.append(revision)
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found speech_commands.py")
        return DatasetDict({"train": clips([tone(440, 0.1)], [0])})

    monkeypatch.setattr(sources, "load_dataset", load)
    monkeypatch.setattr(sources, "hub_reachable", lambda: True)
    assert list(open_dataset("google/speech_commands", "v0.01")) == ["train"]
    assert asked == [None, "refs/convert/parquet"]


def test_columns_of_sound_are_found_and_named():
    data = clips([tone(440, 0.1)], [0]).rename_column("audio", "recording")
    assert as_labelled(data).kind == "audio"  # the only column of that kind
    assert as_labelled(data, Columns(audio="recording")).kind == "audio"
    with pytest.raises(ValueError, match="did you mean 'recording'"):
        as_labelled(data, Columns(audio="recordin"))
    with pytest.raises(ValueError, match="does not hold sound but"):
        as_labelled(data, Columns(audio="label"))
    with pytest.raises(ValueError, match="a model takes one of them"):
        Columns(image="a", audio="b")


def test_labels_and_padding_of_a_batch():
    """wav2vec2 with layer norm is told of the padding; every other value is the clip's own."""
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    preprocessor = SoundPreprocessor(extractor)
    data = as_labelled(clips([tone(440, 0.1), tone(300, 0.2)], [0, 1]))
    examples = Examples(data, transform_for(data, extractor))
    batch = preprocessor.collate([examples[0], examples[1]])
    assert batch["labels"].tolist() == [0, 1]
    assert batch["attention_mask"].sum(1).tolist() == [1600, 3200]
    assert (batch["input_values"][0, 1600:] == 0).all()
    torch.testing.assert_close(batch["input_values"][0, :1600], examples[0]["input_values"])
    alone = extractor(data.example(1).samples, sampling_rate=16_000, return_tensors="pt")["input_values"]
    torch.testing.assert_close(batch["input_values"][1:], alone)
    assert preprocessor.max_batch_size is None


def test_without_a_mask_clips_are_measured_one_by_one():
    assert SoundPreprocessor(Wav2Vec2FeatureExtractor(return_attention_mask=False)).max_batch_size == 1


@pytest.mark.parametrize(
    ("extractor", "name", "shape"),
    [
        (ASTFeatureExtractor(max_length=64), "input_values", (64, 128)),
        (WhisperFeatureExtractor(chunk_length=2), "input_features", (80, 200)),
        (LogMelFeatureExtractor(clip_seconds=0.5), "input_features", (64, 51)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_spectrograms_have_one_length(extractor, name, shape):
    preprocessor = SoundPreprocessor(extractor)
    sounds = [Sound(tone(440, seconds, 8_000), 8_000) for seconds in (0.2, 0.9)]
    batch = preprocessor.inputs(sounds)
    assert batch[name].shape == (2, *shape) and preprocessor.max_batch_size is None
    torch.testing.assert_close(batch[name][1], preprocessor.features(sounds[1])[name])


def test_any_callable_is_a_processor():
    def processor(audio, sampling_rate, return_tensors):
        assert return_tensors == "pt"
        return {"input_values": torch.from_numpy(audio)[None, : sampling_rate // 100]}

    found = SoundPreprocessor(processor).inputs([Sound(tone(440, 0.1), 16_000)] * 2)
    assert found["input_values"].shape == (2, 160)


def test_resampling_is_said_once_a_run(caplog, monkeypatch):
    monkeypatch.setattr("hfmix.data.kinds.audio._NOTICED", set())
    with caplog.at_level(logging.WARNING, "hfmix"):
        for rank in ("0", "0", "1"):  # another preprocessor, as for the test set; another process
            monkeypatch.setenv("RANK", rank)
            preprocessor = SoundPreprocessor(Wav2Vec2FeatureExtractor())
            preprocessor.features(Sound(tone(440, 0.1, 8_000), 8_000))
        preprocessor.features(Sound(tone(440, 0.1, 44_100), 44_100))  # another rate, in the second process
    assert [record.getMessage() for record in caplog.records] == ["clips of 8000 Hz are resampled to 16000 Hz"]


def test_shifts_are_even_and_lose_nothing_inside():
    """2,000 draws over 21 shifts: χ² with 20 degrees of freedom is below 52 but once in 10,000 times."""
    click = np.zeros(100, np.float32)
    click[50] = 1
    counts = np.zeros(21)
    for i in range(2000):
        with keyed_randomness(0, 0, i):
            shifted = time_shift(Sound(click, 1000), milliseconds=10).samples
        assert shifted.sum() == 1 and len(shifted) == 100
        counts[int(shifted.argmax()) - 40] += 1
    assert ((counts - 2000 / 21) ** 2 / (2000 / 21)).sum() < 52


def test_masks_hold_the_mean_and_the_rest_is_as_it_was():
    """With one mask of up to 8 of 40 bands and frames, 4 of each are masked on average; 500 draws, ± 4 σ."""
    spectrogram = torch.randn(40, 40, generator=torch.Generator().manual_seed(0))
    bands = []
    for i in range(500):
        with keyed_randomness(0, 0, i):
            masked = spec_augment(spectrogram, masks=1, share=0.2)
        changed = masked != spectrogram
        assert torch.equal(masked[changed], spectrogram.mean().expand(int(changed.sum())))
        rows, columns = changed.all(1), changed.all(0)
        assert torch.equal(changed, rows[:, None] | columns)
        bands.append((int(rows.sum()), int(columns.sum())))
    assert np.abs(np.mean(bands, 0) - 4).max() < 4 * np.sqrt(60 / 9) / np.sqrt(500)
    assert np.max(bands) == 8


def test_training_cuts_at_random_and_evaluation_to_the_middle():
    ramp = Sound(np.linspace(0, 1, 1000, dtype=np.float32), 100)

    def processor(audio, sampling_rate, return_tensors):
        return {"input_values": torch.from_numpy(audio)[None]}

    arguments = DataArguments("digits", max_length_seconds=1)
    starts = set()
    for i in range(50):
        with keyed_randomness(0, 0, i):
            cut = ToFeatures(processor, arguments)(ramp)["input_values"]
        assert len(cut) == 100
        starts.add(round(float(cut[0]) * 999))
    assert len(starts) > 30
    middle = ToFeatures(LogMelFeatureExtractor(100, 4, 1.0, 0.1, 0.05))(ramp)["input_features"]
    expected = LogMelFeatureExtractor(100, 4, 1.0, 0.1, 0.05)(ramp.samples[450:550])["input_features"][0]
    np.testing.assert_allclose(middle, expected, atol=1e-5)


def test_a_clip_is_changed_by_its_key_alone():
    extractor = LogMelFeatureExtractor(clip_seconds=0.2)
    data = as_labelled(clips([tone(300 + 50 * i, 0.3) for i in range(4)], [0, 1, 0, 1]))
    arguments = DataArguments("digits", augmentation="specaugment")
    examples = Examples(data, transform_for(data, extractor, arguments), seed=3)
    torch.manual_seed(1)
    first = [examples[i]["input_features"] for i in range(4)]
    again = [examples[i]["input_features"] for i in (3, 2, 1, 0)]
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    examples.set_epoch(1)
    assert not torch.equal(examples[0]["input_features"], first[0])


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            lambda: ToFeatures(Wav2Vec2FeatureExtractor(), DataArguments("digits", augmentation="specaugment")),
            "masks spectrograms, and this model takes \\(16000,\\)",
        ),
        (
            lambda: ToFeatures(LogMelFeatureExtractor(), DataArguments("digits", augmentation="randaugment")),
            "randaugment is for images; for sound: none, time_shift, specaugment",
        ),
        (
            lambda: ToPixels(None, DataArguments("digits", augmentation="time_shift")),
            "time_shift is for sound; for images: none, crop_flip, randaugment",
        ),
        (lambda: DataArguments("digits", spec_mask_share=1.5), "spec_mask_share at least 0 and below 1"),
        (lambda: DataArguments("digits", time_shift_ms=-1), "time_shift_ms must be 0 or more"),
        (lambda: DataArguments("digits", max_length_seconds=0), "max_length_seconds must be above 0"),
    ],
)
def test_an_augmentation_that_does_not_fit_is_named(transform, message):
    with pytest.raises(ValueError, match=message):
        transform()
