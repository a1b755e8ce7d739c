"""Models of sound by type, checkpoint and architecture: their classes, their processors, and padding."""

import numpy as np
import pytest
import torch
from clips import clips, tone
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from hfmix import corruption_names, evaluate_robustness, load_backbone, load_pretrained
from hfmix.data.kinds.audio import Sound, SoundPreprocessor
from hfmix.models.loading import save_backbone

LABELS = ["no", "so", "yes"]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVES = {
    **SIZE,
    "conv_dim": [16] * 3,
    "conv_kernel": [10, 8, 4],
    "conv_stride": [10, 8, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
BY_LAYER = {**WAVES, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
KINDS = {
    "wav2vec2": WAVES,
    "hubert": BY_LAYER,
    "wavlm": BY_LAYER,
    "audio-spectrogram-transformer": {**SIZE, "max_length": 64},
    "whisper": WHISPER,
}


def sounds():
    rng = np.random.default_rng(0)
    return [Sound(rng.normal(0, 0.1, length).astype(np.float32), 16_000) for length in (4_000, 9_000, 6_500)]


@pytest.mark.parametrize("name", KINDS)
def test_a_type_gives_a_model_and_what_feeds_it(name, tmp_path):
    model, extractor = load_backbone(name, LABELS, pretrained=False, model_args=KINDS[name])
    assert model.config.id2label == dict(enumerate(LABELS)) and model.config.num_labels == 3
    inputs = SoundPreprocessor(extractor).inputs(sounds())
    assert model.main_input_name in inputs
    with torch.no_grad():
        logits = model.eval()(**inputs).logits
    save_backbone(model, extractor, tmp_path)
    again, extractor_again, report = load_pretrained(tmp_path)
    assert report is None and type(again) is type(model)
    with torch.no_grad():
        torch.testing.assert_close(
            again.eval()(**SoundPreprocessor(extractor_again).inputs(sounds())).logits, logits
        )
    ours, _ = load_backbone(str(tmp_path), ["a", "b"])
    assert ours.config.id2label == {0: "a", 1: "b"} and ours.config.label2id == {"a": 0, "b": 1}


@pytest.mark.parametrize("settings", [BY_LAYER, WAVES], ids=["layer norm, masked", "group norm, one by one"])
def test_what_is_said_of_a_clip_does_not_depend_on_its_neighbours(settings):
    """In the report: at batch sizes 1 and 3 the same likelihood, though the clips have three lengths."""
    torch.manual_seed(0)
    model, extractor = load_backbone("wav2vec2", LABELS[::2], pretrained=False, model_args=settings)
    data = clips([sound.samples for sound in sounds()], [0, 1, 1])
    nll = [
        evaluate_robustness(model, extractor, data, axes=["clean"], batch_size=size, progress=False).axes["clean"]
        for size in (1, 3)
    ]
    assert nll[0]["nll"]["value"] == pytest.approx(nll[1]["nll"]["value"], rel=1e-5)
    padded = torch.zeros(1, 9_000)
    padded[0, :4_000] = SoundPreprocessor(extractor).features(sounds()[0])["input_values"]
    with torch.no_grad():
        alone = model.eval()(padded[:, :4_000]).logits
        unmasked = model(padded).logits
    assert (alone - unmasked).abs().max() > 1e-4  # padding matters where nothing is done about it


def test_weights_of_another_shape_than_the_head_s_are_refused(tmp_path):
    config = ASTConfig(**SIZE, max_length=64, num_labels=5)
    ASTForAudioClassification(config).save_pretrained(tmp_path)
    ASTFeatureExtractor(max_length=64).save_pretrained(tmp_path)
    model, _ = load_backbone(str(tmp_path), LABELS)
    assert model.classifier.dense.weight.shape == (3, 32)
    with pytest.raises(ValueError, match=r"position_embeddings from \(1, 62, 32\) to \(1, 146, 32\)"):
        load_backbone(str(tmp_path), LABELS, model_args={"max_length": 128})


def test_an_evaluation_of_sound_has_all_axes():
    torch.manual_seed(0)
    model, extractor = load_backbone("lenet_audio", ["no", "yes"], pretrained=False, clip_seconds=0.2)
    data = clips([tone(300 + 40 * i, 0.2) for i in range(8)], [0, 1] * 4)
    noise = clips([np.random.default_rng(i).normal(0, 0.1, 3_000) for i in range(6)], [0] * 6)
    report = evaluate_robustness(model, extractor, data, ood={"noise": noise}, progress=False)
    assert set(report.axes) == {"clean", "calibration", "selective", "corruptions", "ood"}
    assert list(report.axes["corruptions"]["accuracy"]) == corruption_names("audio")
    assert report.axes["ood"]["noise"]["n_ood"] == 6
    assert report.content["data"]["kind"] == "audio" and report.content["data"]["num_samples"] == 8
