"""The nets of airbench, held to a slow re-statement in plain torch, and the whitening of their first layer."""

import pytest
import timm
import torch
from torch.nn import functional as F

import hfmix.models  # noqa: F401
from hfmix.models.nets.airbench import whitening_filters

EPS = 5e-4


def images(n=40, channels=3, side=12):
    """Smooth random images: neighbouring pixels and channels are correlated, as in photographs."""
    coarse = torch.randn(n, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    mixed = coarse + coarse.mean(1, keepdim=True)
    return F.interpolate(mixed, side, mode="bilinear") + 0.3


def patches(x):
    """Every 2×2 patch of (N, C, H, W), by loops: (patches, 4 C), channel by channel, row by row."""
    _, _, height, width = x.shape
    return torch.cat(
        [x[:, :, i : i + 2, j : j + 2].flatten(1) for i in range(height - 1) for j in range(width - 1)]
    )


def restated(model, x, convolutions, residual):
    """The net in training mode, from its state dict alone: convolutions as sums of shifted products."""
    state = model.state_dict()

    def convolve(x, weight, padding):
        side = weight.shape[-1]
        x = F.pad(x, (padding,) * 4)
        height, width = x.shape[2] - side + 1, x.shape[3] - side + 1
        return sum(
            torch.einsum("oc,bchw->bohw", weight[:, :, i, j], x[:, :, i : i + height, j : j + width])
            for i in range(side)
            for j in range(side)
        )

    def gelu(x):
        return x * 0.5 * (1 + torch.erf(x / 2**0.5))

    def norm(x, bias):
        centred = x - x.mean((0, 2, 3), keepdim=True)
        return centred / (centred.pow(2).mean((0, 2, 3), keepdim=True) + 1e-12).sqrt() + bias[:, None, None]

    x = gelu(convolve(x, state["whiten.weight"], 0) + state["whiten.bias"][:, None, None])
    for b in range(len(model.blocks)):
        convs = [state[f"blocks.{b}.convs.{i}.weight"] for i in range(convolutions)]
        biases = [state[f"blocks.{b}.norms.{i}.bias"] for i in range(convolutions)]
        x = convolve(x, convs[0], 1)
        half = x.shape[2] // 2
        x = x[:, :, : 2 * half, : 2 * half].unflatten(2, (half, 2)).unflatten(4, (half, 2)).amax((3, 5))
        first = x = gelu(norm(x, biases[0]))
        for i in range(1, convolutions):
            x = norm(convolve(x, convs[i], 1), biases[i])
            x = gelu(x + first) if residual and i == convolutions - 1 else gelu(x)
    return x.amax((2, 3)) @ state["fc.weight"].T / 9


@pytest.mark.parametrize(
    ("name", "convolutions", "residual"), [("airbench_cifar", 2, False), ("airbench96_cifar", 3, True)]
)
def test_it_is_the_source_s_net(name, convolutions, residual):
    torch.manual_seed(0)
    model = timm.create_model(name, widths=(6, 10, 12)).double()
    for key, bias in model.named_parameters():
        if key.endswith("bias"):
            torch.nn.init.normal_(bias)
    x = torch.randn(5, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(model(x), restated(model, x, convolutions, residual))
    assert model.forward_features(x).shape[2:] == (3, 3)  # which the source's 3×3 pooling covers
    momentum = 0.4 if name == "airbench_cifar" else 0.1
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {momentum}


def test_the_first_layer_whitens_the_training_patches():
    """Outputs of the positive half: uncorrelated, with mean squares λ / (λ + eps), and the largest λ first."""
    x = images()
    model = timm.create_model("airbench_cifar", widths=(4, 4, 4))
    model.initialize_from(x)
    out = F.conv2d(x.double(), model.whiten.weight.double())
    flat = out.transpose(0, 1).flatten(1)
    seen = patches(x.double())
    values = torch.linalg.eigvalsh(seen.T @ seen / len(seen)).flip(0)
    moments = flat[:12] @ flat[:12].T / flat.shape[1]
    torch.testing.assert_close(moments, torch.diag(values / (values + EPS)), rtol=1e-4, atol=1e-5)
    assert torch.equal(model.whiten.weight[12:], -model.whiten.weight[:12])
    assert not model.whiten.weight.requires_grad and model.whiten.bias.requires_grad
    again = timm.create_model("airbench_cifar", widths=(4, 4, 4))
    again.initialize_from(x)
    assert torch.equal(again.whiten.weight, model.whiten.weight)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_it_whitens_any_number_of_channels(channels):
    x = images(channels=channels)
    filters = whitening_filters(x, 2, eps=0)
    assert filters.shape == (8 * channels, channels, 2, 2)
    flat = F.conv2d(x.double(), filters[: 4 * channels].double()).transpose(0, 1).flatten(1)
    identity = torch.eye(4 * channels, dtype=torch.float64)
    torch.testing.assert_close(flat @ flat.T / flat.shape[1], identity, rtol=1e-3, atol=1e-3)


def test_patterns_that_never_occur_stay_finite():
    grey = images()[:, :1].expand(-1, 3, -1, -1)  # the differences between channels are zero
    assert whitening_filters(grey, 2).isfinite().all()
    assert whitening_filters(torch.zeros(1, 3, 2, 2), 2).abs().max() <= EPS**-0.5


@pytest.mark.parametrize(("before", "after"), [(24, 64), (64, 64), (12, 5)])
def test_convolutions_start_as_the_identity(before, after):
    """The first filters copy their channels; those beyond the input's channels are torch's random ones."""
    torch.manual_seed(0)
    widths = (before, after)
    model = timm.create_model("airbench_cifar", widths=widths)
    weight = model.blocks[1].convs[0].weight
    x = torch.randn(2, before, 6, 6)
    copied = min(before, after)
    assert torch.equal(F.conv2d(x, weight, padding=1)[:, :copied], x[:, :copied])
    assert all(random.std() > 0 for random in weight[copied:])


def test_the_first_layer_s_weights_stay_while_the_rest_trains():
    model = timm.create_model("airbench_cifar", widths=(4, 6, 8))
    model.initialize_from(images(side=32))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    F.cross_entropy(model(images(10, side=32)), torch.arange(10)).backward()
    optimizer.step()
    after = model.state_dict()
    kept = [key for key, value in after.items() if torch.equal(value, before[key])]
    assert kept == ["whiten.weight"]


def test_a_block_of_one_convolution_is_refused():
    with pytest.raises(ValueError, match="2 convolutions or more, not 1"):
        timm.create_model("airbench_cifar", convolutions=1)
