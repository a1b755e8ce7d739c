"""The papers' nets, held to what the papers say of them."""

import timm
import torch

import hfmix.models  # noqa: F401


def test_resnet20_has_the_paper_s_size():
    """0.27 M parameters; the 19 convolutions, 2 BatchNorm vectors each and the head add up to 269,722."""
    model = timm.create_model("resnet20_cifar", num_classes=10)
    stages = [(3, 16, 1), *[(16, 16, 6)], (16, 32, 1), *[(32, 32, 5)], (32, 64, 1), *[(64, 64, 5)]]
    by_hand = sum(n * (9 * i * o + 2 * o) for i, o, n in stages) + 64 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == by_hand == 269_722
    assert sum(isinstance(m, torch.nn.Conv2d) for m in model.modules()) == 19


def test_it_speaks_timm():
    model = timm.create_model("resnet20_cifar", num_classes=7, in_chans=1)
    x = torch.randn(2, 1, 32, 32)
    assert model(x).shape == (2, 7)
    assert model.forward_features(x).shape == (2, 64, 8, 8)
    assert model.forward_head(model.forward_features(x), pre_logits=True).shape == (2, 64)
    model.reset_classifier(0, "")
    assert model(x).shape == (2, 64, 8, 8)
    assert timm.get_pretrained_cfg("resnet20_cifar").input_size == (3, 32, 32)


def test_shortcuts_subsample_and_pad_channels():
    model = timm.create_model("resnet20_cifar").eval()
    block = model.layer2[0]
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 16, 4, 4)
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out[:, :8].abs().sum() == 0 == out[:, 24:].abs().sum()
