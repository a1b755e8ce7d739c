"""The nets for spectrograms and for tables, held to the plain chains of layers that they stand for."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

import hfmix.models  # noqa: F401


def test_lenet_at_its_own_size_is_the_public_one():
    """adiyoss/GCommandsPytorch without its dropout: the map is flattened, not averaged."""
    torch.manual_seed(0)
    model = timm.create_model("lenet_audio")
    x = torch.randn(2, 1, 64, 101)
    out = x
    for stage in model.stages:
        out = F.relu(F.max_pool2d(F.conv2d(out, stage[0].weight, stage[0].bias), 2))
    out = model.fc(F.relu(model.hidden(out.reshape(2, 20 * 13 * 22))))
    torch.testing.assert_close(model(x), out)


def test_vgg_at_its_own_size_is_the_plain_chain():
    torch.manual_seed(0)
    model = timm.create_model("vgg11_audio", widths=((4,), (4, 8)), pool_size=(4, 3)).eval()
    x = torch.randn(2, 1, 16, 13)
    layers = [layer for stage in model.stages for layer in stage]
    kinds = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in layers] == [*kinds, nn.MaxPool2d, *kinds, *kinds, nn.MaxPool2d]
    chain = nn.Sequential(*layers, nn.Flatten(), model.hidden, nn.ReLU(), model.fc)
    torch.testing.assert_close(model(x), chain(x))


def test_vgg11_has_the_paper_s_convolutions():
    """arXiv 1409.1556, table 1, column A."""
    with torch.device("meta"):
        model = timm.create_model("vgg11_audio")
    widths = [[m.out_channels for m in stage if isinstance(m, nn.Conv2d)] for stage in model.stages]
    assert widths == [[64], [128], [256, 256], [512, 512], [512, 512]]


@pytest.mark.parametrize("name", ["lenet_audio", "vgg11_audio"])
@pytest.mark.parametrize("size", [(64, 300), (128, 101), (40, 1), (3, 50), (80, 31)])
def test_any_number_of_bands_and_frames_works(name, size):
    with torch.device("meta"), torch.inference_mode():
        model = timm.create_model(name).eval()
        assert model(torch.empty(2, 1, *size)).shape == (2, 30)


@pytest.mark.parametrize("name", ["lenet_audio", "vgg11_audio"])
def test_short_clips_are_padded_with_zeros_behind(name):
    torch.manual_seed(0)
    kwargs = {"vgg11_audio": {"widths": ((4,), (4,), (4,), (4,))}}.get(name, {})
    model = timm.create_model(name, pool_size=(1, 1), **kwargs).eval()
    x = torch.randn(2, 1, 12, 7)
    assert torch.equal(model(x), model(F.pad(x, (0, 9, 0, 4))))
    assert not torch.equal(model(x), model(F.pad(x, (9, 0, 4, 0))))


def test_the_table_net_is_two_layers_and_a_head():
    torch.manual_seed(0)
    model = timm.create_model("mlp_table", in_chans=13, num_classes=5)
    x = torch.randn(6, 13)
    first, second = (layer[0] for layer in model.layers)
    assert first.weight.shape == (128, 13)
    assert second.weight.shape == (128, 128)
    torch.testing.assert_close(model(x), model.fc(F.relu(second(F.relu(first(x))))))
