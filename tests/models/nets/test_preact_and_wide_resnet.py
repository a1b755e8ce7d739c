"""Pre-activation and wide ResNets, held to the sources and to timm's pre-activation block."""

import math

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d, create_conv2d
from timm.models.resnetv2 import DownsampleConv, PreActBasic

from hfmix.models.nets.preact_resnet import PreActBlock, PreActResNet
from hfmix.models.nets.wide_resnet import WideResNet


@pytest.mark.parametrize(("channels", "stride"), [(8, 1), (16, 1), (16, 2)])
def test_a_block_is_timm_s(channels, stride):
    torch.manual_seed(0)
    ours = PreActBlock(8, channels, stride)
    layers = {"conv_layer": create_conv2d, "norm_layer": BatchNormAct2d, "proj_layer": DownsampleConv}
    peer = PreActBasic(8, channels, stride=stride, **layers)
    names = {"bn1": "norm1", "bn2": "norm2", "shortcut": "downsample.conv"}
    weights = {}
    for key, value in ours.state_dict().items():
        module, _, leaf = key.partition(".")
        weights[f"{names.get(module, module)}.{leaf}"] = torch.rand_like(value) if value.ndim == 1 else value
    peer.load_state_dict(weights)
    ours.load_state_dict(dict(zip(ours.state_dict(), weights.values(), strict=True)))
    x = torch.randn(3, 8, 8, 8)
    torch.testing.assert_close(ours(x), peer(x))


def test_mixup_s_own_net_has_an_activation_after_the_stem_and_neither_one_before_the_pooling():
    with torch.device("meta"):
        kuangliu = timm.create_model("preact_resnet18")
        mixup = timm.create_model("preact_resnet18_mixup")
    extra = mixup.state_dict().keys() - kuangliu.state_dict().keys()
    assert {key.partition(".")[0] for key in extra} == {"norm1"}
    torch.manual_seed(0)
    model = PreActResNet((1,), (4,), 4, stem_norm=True)
    seen = {}
    model.stages.register_forward_pre_hook(lambda _, args: seen.update(x=args[0]))
    assert (model.forward_features(torch.randn(2, 3, 8, 8)) < 0).any()
    assert (seen["x"] >= 0).all()
    model = PreActResNet((1,), (4,), 4, final_norm=True)
    assert (model.forward_features(torch.randn(2, 3, 8, 8)) >= 0).all()


def test_mixup_s_own_net_passes_activations_by():
    torch.manual_seed(0)
    model = timm.create_model("preact_resnet18_mixup", depths=(2, 1), widths=(4, 8), stem_width=4)
    x = torch.randn(2, 4, 8, 8)
    for block in (*model.stages[0], *PreActResNet((1,), (4,), 4).stages[0]):
        torch.nn.init.zeros_(block.conv2.weight)
        passed = torch.relu(block.bn1(x)) if block.activated_shortcut else x
        assert torch.equal(block(x), passed)
    assert all(block.activated_shortcut for stage in model.stages for block in stage)
    with torch.device("meta"):
        plain = timm.create_model("preact_resnet18")
    assert not any(block.activated_shortcut for stage in plain.stages for block in stage)


def test_preact_keeps_torch_s_initialisation():
    model = timm.create_model("preact_resnet18", depths=(1, 1), widths=(32, 64), stem_width=32)
    weight = model.stages[1][0].conv2.weight
    bound = weight[0].numel() ** -0.5
    assert 0.99 * bound < weight.abs().max() <= bound


def test_wide_resnet_starts_as_the_source_does():
    """Normal weights with variance 2 / (9 · output channels), and a zero bias."""
    torch.manual_seed(0)
    model = timm.create_model("wrn16_4")
    for conv in (model.stages[0][1].conv1, model.stages[2][0].conv1, model.stages[2][1].conv2):
        deviation = math.sqrt(2 / (9 * conv.out_channels))
        # the standard error of a deviation of n normal numbers is σ / √2n
        assert abs(conv.weight.std().item() / deviation - 1) < 5 / math.sqrt(2 * conv.weight.numel())
    assert (model.fc.bias == 0).all()
    model.reset_classifier(5)
    assert (model.fc.bias == 0).all()


@pytest.mark.parametrize(("depth", "convolutions"), [(10, 13), (28, 31)])
def test_the_depth_counts_convolutions(depth, convolutions):
    """The stem, 2 in each block and the 3 of the shortcuts, which the paper counts into the depth."""
    with torch.device("meta"):
        model = WideResNet(depth, 1, num_classes=0)
    plain = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    # at width 1 the first stage has the stem's channels and no convolution in its shortcut
    assert len(plain) == convolutions - 3 - 1
    assert len([m for m in plain if m.kernel_size == (1, 1)]) == 2


@pytest.mark.parametrize("depth", [4, 20, 30])
def test_a_depth_that_there_is_not_is_refused(depth):
    with pytest.raises(ValueError, match=f"6n \\+ 4 .*not {depth}"):
        WideResNet(depth)
