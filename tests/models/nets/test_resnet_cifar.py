"""He et al.'s ResNet-20 and RegMixup's ResNet-50, held to the papers and to torchvision."""

import timm
import torch
import torchvision

import hfmix.models  # noqa: F401


def test_resnet20_has_the_paper_s_layers():
    """The 19 convolutions, 2 BatchNorm vectors each and the head add up to 269,722."""
    with torch.device("meta"):
        model = timm.create_model("resnet20_cifar", num_classes=10)
    stages = [(3, 16, 1), *[(16, 16, 6)], (16, 32, 1), *[(32, 32, 5)], (32, 64, 1), *[(64, 64, 5)]]
    by_hand = sum(n * (9 * i * o + 2 * o) for i, o, n in stages) + 64 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == by_hand == 269_722
    assert sum(isinstance(m, torch.nn.Conv2d) for m in model.modules()) == 19


def test_shortcuts_subsample_and_pad_channels():
    model = timm.create_model("resnet20_cifar").eval()
    block = model.layer2[0]
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 16, 4, 4)
    out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out[:, :8].abs().sum() == 0 == out[:, 24:].abs().sum()


def test_resnet50_is_torchvision_s_on_another_stem():
    torch.manual_seed(0)
    ours = timm.create_model("resnet50_cifar", layers=(1, 1, 1, 1))
    peer = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=10)
    peer.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    peer.maxpool = torch.nn.Identity()
    peer.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(x), peer(x))
    torch.testing.assert_close(ours.eval()(x), peer.eval()(x))


def test_resnet50_starts_as_the_source_does():
    """torch's own initialisation: weights uniform up to 1/√fan_in, and no BatchNorm that starts at zero."""
    model = timm.create_model("resnet50_cifar", layers=(1, 1, 1, 1))
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()


def test_resnet50_s_maps_are_as_fine_as_timm_is_told():
    with torch.device("meta"):
        model = timm.create_model("resnet50_cifar", features_only=True)
        maps = model(torch.empty(1, 3, 32, 32))
    assert model.feature_info.reduction() == [1, 1, 2, 4, 8]
    assert [32 // m.shape[-1] for m in maps] == [1, 1, 2, 4, 8]
