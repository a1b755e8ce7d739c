"""An attacked model gives the same logits as the model with its processor, and lets gradients through."""

import numpy as np
import pytest
import torch
from clips import tone
from pictures import NAMES, pictures
from torch import nn
from transformers import ASTFeatureExtractor, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from zoo import ZOO

from hfmix import load_backbone
from hfmix.data.kinds.audio import Sound, SoundPreprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.data.kinds.table import TablePreprocessor
from hfmix.models.processors.log_mel import LogMelFeatureExtractor
from hfmix.robustness.attacks import AttackedModel, attacked_model, pgd

IMAGES = [row["image"] for row in pictures(6)]
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def hf_image_model():
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        image_size=24, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=3
    )
    return ViTForImageClassification(config), ViTImageProcessor(size={"height": 24, "width": 24})


def timm_image_model():
    return load_backbone("test_vit", NAMES, pretrained=False, image_size=32)


def sounds(seconds, rate=16_000):
    rng = np.random.default_rng(0)
    return [
        Sound(
            tone(200 + 100 * i, s, rate) * 0.3 + 0.1 * rng.standard_normal(round(s * rate)).astype(np.float32),
            rate,
        )
        for i, s in enumerate(seconds)
    ]


def log_mel_model():
    torch.manual_seed(0)
    net = load_backbone("lenet_audio", NAMES, pretrained=False)[0]
    return net, LogMelFeatureExtractor(num_mel_bins=64)


def speech_model(mask):
    torch.manual_seed(0)
    name = "Wav2Vec2 (mask)" if mask else "Wav2Vec2"
    model = next(animal for animal in ZOO if animal.name == name).build()
    return model, Wav2Vec2FeatureExtractor(return_attention_mask=mask, sampling_rate=16_000)


def ordinary(model, preprocessor, examples):
    model.eval()
    inputs = preprocessor.inputs(examples)
    with torch.no_grad():
        output = model(*inputs.values()) if len(inputs) == 1 else model(**inputs)
    return output.logits if hasattr(output, "logits") else output


@pytest.mark.parametrize("build", [timm_image_model, hf_image_model])
def test_images_get_the_logits_that_they_have_anyway(build):
    torch.manual_seed(0)
    model, processor = build()
    preprocessor = ImagePreprocessor(processor)
    attacked = attacked_model(model, preprocessor)
    x = attacked.inputs(IMAGES)
    assert isinstance(attacked, AttackedModel) and attacked.bounds == (0, 1) and x.min() >= 0 and x.max() <= 1
    expected = ordinary(model, preprocessor, IMAGES)
    found = attacked.eval()(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert torch.equal(found.argmax(1), expected.argmax(1))
    # x is what the processor saw: whole levels of 8 bits
    torch.testing.assert_close(x * 255, (x * 255).round(), rtol=0, atol=1e-3)


def test_a_perturbation_is_one_of_pixels():
    """Of 8 levels, whatever the normalisation makes of them."""
    torch.manual_seed(0)
    model, processor = timm_image_model()
    preprocessor = ImagePreprocessor(processor)
    attacked = attacked_model(model, preprocessor)
    x = attacked.inputs(IMAGES)
    found = pgd(attacked, x, Y, random_start=False)
    assert 255 * (found - x).abs().max() == pytest.approx(8, abs=1e-3)
    std = preprocessor.statistics[1]
    moved = attacked.model_inputs(found)["pixel_values"] - attacked.model_inputs(x)["pixel_values"]
    torch.testing.assert_close(moved, (found - x) / std, rtol=0, atol=1e-5)


MODELS_AND_SECONDS = [
    pytest.param(log_mel_model, [0.5] * 6, id="log-mel"),
    pytest.param(log_mel_model, [0.5, 0.3, 0.01, 0.5, 0.41, 1.3], id="log-mel, unequal, one cut"),
    pytest.param(lambda: speech_model(False), [0.05] * 6, id="waveform"),
    pytest.param(lambda: speech_model(True), [0.05] * 6, id="waveform with mask"),
    pytest.param(lambda: speech_model(True), [0.05, 0.03, 0.04, 0.05, 0.06, 0.1], id="waveform, unequal"),
]


@pytest.mark.parametrize(("build", "seconds"), MODELS_AND_SECONDS)
def test_clips_get_the_logits_that_they_have_anyway(build, seconds):
    model, extractor = build()
    preprocessor, examples = SoundPreprocessor(extractor), sounds(seconds)
    attacked = attacked_model(model, preprocessor)
    x, lengths = attacked.prepare(examples)
    bound = attacked.of_lengths(lengths).eval()
    assert attacked.bounds == (-1, 1) and x.abs().max() <= 1
    expected = ordinary(model, preprocessor, examples)
    torch.testing.assert_close(bound(x), expected, rtol=0, atol=2e-5)
    assert torch.equal(bound(x).argmax(1), expected.argmax(1))
    padding = torch.arange(x.shape[1]) >= lengths[:, None]
    assert torch.equal(bound.mask(x), ~padding) and (x[padding] == 0).all()
    # what lies on the padding does not matter
    torch.testing.assert_close(bound(x + 0.1 * padding), bound(x), rtol=0, atol=0)
    y = torch.zeros(len(x), dtype=torch.long)
    found = pgd(bound, x, y, 0.01, 0.005, 3, bounds=(-1, 1), mask=bound.mask(x), generator=torch.Generator())
    assert (found[padding] == 0).all() and ((found - x).abs().amax(1) > 0.004).all()
    with torch.no_grad():
        before, after = (nn.functional.cross_entropy(bound(clips), y) for clips in (x, found))
    assert after > before


def test_clips_at_another_rate_are_resampled_first():
    model, extractor = log_mel_model()
    preprocessor, examples = SoundPreprocessor(extractor), sounds([0.5] * 3, rate=8_000)
    attacked = attacked_model(model, preprocessor)
    x = attacked.inputs(examples)
    assert x.shape == (3, 8_000)
    torch.testing.assert_close(attacked.eval()(x), ordinary(model, preprocessor, examples), rtol=0, atol=2e-5)


def test_lengths_that_differ_have_to_be_told():
    model, extractor = log_mel_model()
    with pytest.raises(ValueError, match="different lengths: call prepare"):
        attacked_model(model, SoundPreprocessor(extractor)).inputs(sounds([0.5, 0.4]))
    model, extractor = speech_model(False)
    with pytest.raises(ValueError, match="takes no mask: give them one at a time"):
        attacked_model(model, SoundPreprocessor(extractor)).prepare(sounds([0.5, 0.4]))


def plain(images, return_tensors):
    return {"pixel_values": torch.zeros(len(images), 3, 32, 32)}


class Lying:
    """An image processor that says [0, 1] and gives [-1, 1]."""

    do_rescale, rescale_factor = True, 1 / 255

    def __call__(self, images, return_tensors):
        levels = torch.from_numpy(np.stack([np.array(image) for image in images])).permute(0, 3, 1, 2)
        return {"pixel_values": levels.float() / 127.5 - 1}


class Louder(Wav2Vec2FeatureExtractor):
    """One that somebody changed."""


@pytest.mark.parametrize(
    ("preprocessor", "message"),
    [
        (TablePreprocessor(None), "rows of a table cannot be attacked"),
        (ImagePreprocessor(plain), "the processor, plain, does not state the mean and standard deviation"),
        (SoundPreprocessor(ASTFeatureExtractor()), "ASTFeatureExtractor, is not known to be differentiable"),
        (SoundPreprocessor(WhisperFeatureExtractor()), "WhisperFeatureExtractor, is not known"),
        (SoundPreprocessor(Louder()), "Louder, is not known"),
    ],
)
def test_what_cannot_be_attacked_is_told_why(preprocessor, message):
    with pytest.raises(ValueError, match=message):
        attacked_model(nn.Linear(1, 1), preprocessor)


def test_a_processor_that_does_more_than_it_tells():
    with pytest.raises(ValueError, match=r"by which its images lie in \[-1, 1\], not in \[0, 1\]"):
        attacked_model(nn.Linear(1, 1), ImagePreprocessor(Lying())).inputs(IMAGES)
