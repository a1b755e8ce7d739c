"""Log-mel spectrograms against transformers' own, and the nets for them as transformers' models."""

import numpy as np
import pytest
import timm
import torch
from clips import tone
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, pipeline
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from hfmix import load_backbone
from hfmix.models.processors.log_mel import LogMelFeatureExtractor, log_mel


@pytest.mark.parametrize(("rate", "bands", "window", "hop"), [(16_000, 64, 400, 160), (8_000, 40, 200, 80)])
def test_log_mel_is_what_transformers_computes(rate, bands, window, hop):
    noise = torch.randn(2, rate // 2, generator=torch.Generator().manual_seed(0)) * 0.1
    n_fft = 512 if window == 400 else 256
    filters = mel_filter_bank(n_fft // 2 + 1, bands, 0.0, rate / 2, rate, "slaney", "slaney")
    expected = [
        spectrogram(
            clip.double().numpy(),
            window_function(window, "hann", frame_length=n_fft),
            n_fft,
            hop,
            power=2.0,
            mel_filters=filters,
            log_mel="log",
        )
        for clip in noise
    ]
    torch.testing.assert_close(
        log_mel(noise.double(), rate, bands, window, hop),
        torch.from_numpy(np.stack(expected)).double(),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_tone_lies_in_its_band():
    """The band whose filter weighs the tone's frequency most."""
    frames = log_mel(torch.from_numpy(tone(1000, 0.5))[None])[0]
    filters = mel_filter_bank(257, 64, 0.0, 8000.0, 16_000, "slaney", "slaney")
    assert (frames[:, 5:-5].argmax(0) == filters[round(1000 / 16_000 * 512)].argmax()).all()


def test_gradients_reach_the_waveform():
    waveform = torch.randn(
        1, 1600, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    assert torch.autograd.gradcheck(
        lambda x: log_mel(x, 16_000, 4, 400, 400).sum(), (waveform,), eps=1e-6, atol=1e-4
    )


def test_a_clip_is_normalised_by_itself_and_padded_with_zeros():
    extractor = LogMelFeatureExtractor()
    quiet, loud = (
        extractor(level * np.random.default_rng(0).normal(size=8_000).astype(np.float32), 16_000)[
            "input_features"
        ][0]
        for level in (0.001, 0.1)
    )
    np.testing.assert_allclose(quiet, loud, atol=1e-4)  # its level does not matter
    assert loud.shape == (64, 101) and (loud[:, 51:] == 0).all()
    assert abs(loud[:, :51].mean()) < 1e-5 and abs(loud[:, :51].std() - 1) < 1e-3


def test_one_clip_and_several_of_any_length():
    extractor = LogMelFeatureExtractor(clip_seconds=0.5)
    clips = [tone(440, seconds) for seconds in (0.001, 0.3, 2.0)]
    batch = extractor(clips, 16_000, return_tensors="pt")["input_features"]
    assert batch.shape == (3, 64, 51) and batch.isfinite().all()
    for i, clip in enumerate(clips):
        torch.testing.assert_close(extractor(clip, return_tensors="pt")["input_features"][0], batch[i])
    torch.testing.assert_close(batch[1], torch.from_numpy(extractor(clips[1].tolist())["input_features"][0]))
    with pytest.raises(ValueError, match="clips of 8000 Hz: resample them to the model's 16000 Hz"):
        extractor(clips, 8000)


@pytest.mark.parametrize("name", ["vgg11_audio", "lenet_audio"])
def test_it_is_saved_and_loaded_by_the_auto_classes(name, tmp_path):
    model, extractor = load_backbone(
        name,
        ["no", "yes", "so"],
        pretrained=False,
        sampling_rate=8000,
        clip_seconds=0.5,
        num_mel_bins=40,
        model_args={"drop_rate": 0.25},
    )
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    again = AutoModelForAudioClassification.from_pretrained(tmp_path)
    extractor_again = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert extractor_again.to_dict() == extractor.to_dict() and extractor.sampling_rate == 8000
    assert again.net.drop_rate == 0.25 and again.config.id2label == {0: "no", 1: "yes", 2: "so"}
    inputs = extractor_again(tone(440, 0.4, 8000), 8000, return_tensors="pt")
    assert inputs["input_features"].shape == (1, 40, 51)
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
        torch.testing.assert_close(again.eval()(**inputs).logits, logits)
        torch.testing.assert_close(model.net(inputs["input_features"][:, None]), logits)
        loss = model(**inputs, labels=torch.tensor([1])).loss
    torch.testing.assert_close(loss, -logits.log_softmax(1)[0, 1])
    found = pipeline("audio-classification", str(tmp_path), top_k=None)(
        {"raw": tone(440, 0.4, 8000), "sampling_rate": 8000}
    )
    scores = {entry["label"]: entry["score"] for entry in found}
    np.testing.assert_allclose([scores[n] for n in ("no", "yes", "so")], logits.softmax(1)[0], atol=1e-5)


def test_its_weights_are_drawn_as_the_nets_own(monkeypatch):
    torch.manual_seed(0)
    model, _ = load_backbone("vgg11_audio", ["a", "b"], pretrained=False)
    plain = timm.create_model("vgg11_audio", num_classes=2)
    ours, theirs = dict(model.net.named_parameters()), dict(plain.named_parameters())
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        if value.numel() > 1000:  # of so many, the deviation is known to some 5 %
            assert abs(value.std() / theirs[key].std() - 1) < 0.1, key
    assert (model.net.stages[0][1].weight == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg11_audio"}, "has no pretrained weights and no image_size"),
        (
            {"name": "resnet18", "pretrained": False, "sampling_rate": 8000},
            "lenet_audio take sampling_rate",
        ),
    ],
)
def test_settings_of_another_kind_of_net_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_backbone(labels=["a", "b"], **arguments)
