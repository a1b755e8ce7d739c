"""Models from timm, transformers and folders, with the classes they were asked for."""

import json

import pytest
import timm
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from hfmix import load_backbone, load_pretrained
from hfmix.models.loading import save_backbone

LABELS = ["ant", "bee", "cat"]


@pytest.mark.parametrize("name", ["resnet18", "resnet20_cifar", "test_vit"])
def test_a_net_from_scratch_starts_as_its_own_code_says(name, tmp_path):
    """transformers' wrapper would draw every weight from N(0, 0.02)."""
    torch.manual_seed(0)
    model, processor = load_backbone(name, ["a", "b", "c"], pretrained=False)
    own = timm.create_model(name, num_classes=3)
    for (key, weight), expected in zip(
        model.timm_model.state_dict().items(), own.state_dict().values(), strict=True
    ):
        if weight.ndim > 1 and len(weight) > 3:
            assert weight.std().item() == pytest.approx(expected.std().item(), rel=0.2, abs=1e-6), key
    save_backbone(model, processor, tmp_path)
    again, _ = load_backbone(str(tmp_path), ["a", "b", "c"], pretrained=False)
    first, of_folder = (next(p for p in m.parameters() if p.ndim > 1) for m in (own, again))
    assert of_folder.std().item() == pytest.approx(first.std().item(), rel=0.2)


@pytest.mark.parametrize("name", ["test_resnet", "timm/test_vit", "resnet20_cifar"])
def test_untrained_timm(name):
    model, processor = load_backbone(name, LABELS, pretrained=False, image_size=32)
    pixels = processor(images=Image.new("RGB", (50, 40)), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32)
    assert model.eval()(pixels).logits.shape == (1, 3)
    assert model.config.id2label == dict(enumerate(LABELS))


def test_fine_tuning_replaces_a_checkpoint_s_names(tmp_path):
    """Names stored timm's official way survive transformers' num_labels, and would be saved with the new head."""
    save_backbone(*load_backbone("test_resnet", ["old", "older"], pretrained=False, image_size=32), tmp_path / "a")
    model, processor = load_backbone(str(tmp_path / "a"), LABELS)
    save_backbone(model, processor, tmp_path / "b")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    assert config["label_names"] == LABELS and config["num_classes"] == 3


def test_a_checkpoint_s_weights_are_loaded(tmp_path):
    first, processor = load_backbone("test_resnet", LABELS, pretrained=False, image_size=32)
    save_backbone(first, processor, tmp_path)
    again, _ = load_backbone(str(tmp_path), LABELS)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    other, _ = load_backbone(str(tmp_path), LABELS, pretrained=False)
    assert not torch.equal(other.timm_model.fc.weight, first.timm_model.fc.weight)


def test_a_transformers_checkpoint_in_a_folder(tmp_path):
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    model, processor = load_backbone(str(tmp_path), LABELS)
    pixels = processor(images=Image.new("RGB", (50, 40)), return_tensors="pt")["pixel_values"]
    assert model(pixels).logits.shape == (1, 3) and model.config.id2label[2] == "cat"
    with pytest.raises(ValueError, match="image_size is for timm architectures"):
        load_backbone(str(tmp_path), LABELS, image_size=64)


def test_half_precision_checkpoints_are_trained_in_single(tmp_path):
    model, processor = load_backbone("test_resnet", LABELS, pretrained=False, image_size=32)
    save_backbone(model.half(), processor, tmp_path)
    again, _ = load_backbone(str(tmp_path), LABELS)
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_a_fixed_size_is_not_changed_under_its_weights(tmp_path):
    """A position embedding of another size would be drawn anew without a word."""
    save_backbone(*load_backbone("test_vit", LABELS, pretrained=False, image_size=32), tmp_path)
    with pytest.raises(ValueError, match="takes 32 pixels and its weights fit no other size"):
        load_backbone(str(tmp_path), LABELS, image_size=64)
    load_backbone(str(tmp_path), LABELS, image_size=32)


def test_remote_code_is_never_run(tmp_path, capfd):
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for load in (lambda: load_backbone(str(tmp_path), LABELS), lambda: load_pretrained(tmp_path)):
        with pytest.raises(ValueError):
            load()
    assert not (tmp_path / "ran").exists() and "y/N" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_backbone("resnet81", LABELS), "unknown model 'resnet81': did you mean 'resnet18'?"),
        (lambda: load_backbone("timm/resnot50.a1", LABELS), "did you mean 'resnet50'?"),
        (lambda: load_backbone("resnet20_cifar", LABELS), "has no pretrained weights"),
        (lambda: load_backbone("resnet18", ["a"]), "two or more different class names"),
        (lambda: load_backbone("resnet18", ["a", "a"]), "two or more different class names"),
    ],
)
def test_what_cannot_be_loaded_is_named(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["org/model", "resnet18"])
def test_without_a_network_it_is_one_line(name, no_network):
    with pytest.raises(ConnectionError, match="no connection to the Hub"):
        load_backbone(name, LABELS)
