"""Dropout within the blocks of residual nets, `proj_drop_rate`: where it sits and when it acts."""

import pytest
import timm
import torch
from torch.nn import functional as F

import hfmix.models  # noqa: F401  registers the papers' nets with timm

# a small net, and the norm whose activation the second convolution is given
NETS = {
    "preact_resnet18": ({"depths": (1, 2), "widths": (8, 16), "stem_width": 8}, "bn2"),
    "preact_resnet18_mixup": ({"depths": (1, 2), "widths": (8, 16), "stem_width": 8}, "bn2"),
    "wrn16_4": ({"depth": 10, "width": 1}, "bn2"),
    "resnet20_cifar": ({"depth": 1}, "bn1"),
}


def small(name, **settings):
    return timm.create_model(name, num_classes=3, **NETS[name][0], **settings)


@pytest.mark.parametrize("name", NETS)
def test_it_is_between_the_activation_and_the_second_convolution(name):
    torch.manual_seed(0)
    rate, seen = 0.3, []
    model = small(name, proj_drop_rate=rate)
    blocks = [module for module in model.modules() if hasattr(module, "conv2")]
    for block in blocks:
        norm = getattr(block, NETS[name][1])
        norm.register_forward_hook(lambda *args: seen.append(args[2].detach()))
        block.conv2.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    model(torch.randn(8, 3, 16, 16))
    assert len(seen) == 2 * len(blocks) >= 6
    for normed, given in zip(seen[::2], seen[1::2], strict=True):
        activation = F.relu(normed)
        kept = given != 0
        torch.testing.assert_close(given, torch.where(kept, activation / (1 - rate), 0))
        alive = activation > 0
        share, n = kept[alive].double().mean().item(), int(alive.sum())
        assert abs(share - (1 - rate)) < 5 * (rate * (1 - rate) / n) ** 0.5  # of n independent coins


@pytest.mark.parametrize("name", NETS)
def test_it_acts_in_training_only_and_changes_neither_weights_nor_the_net_without(name):
    plain, dropped = small(name), small(name, proj_drop_rate=0.8)
    assert plain.state_dict().keys() == dropped.state_dict().keys()
    dropped.load_state_dict(plain.state_dict())
    x = torch.randn(4, 3, 16, 16)
    before = torch.random.get_rng_state()
    first = plain(x)
    assert torch.equal(torch.random.get_rng_state(), before)  # a rate of zero draws nothing
    assert not torch.equal(first, dropped(x))
    assert torch.equal(plain.eval()(x), small_copy(name, plain, 0.8).eval()(x))
    dropped.eval()
    assert torch.equal(dropped(x), dropped(x))


def small_copy(name, model, rate):
    """The same weights and statistics under another rate."""
    copied = small(name, proj_drop_rate=rate)
    copied.load_state_dict(model.state_dict())
    return copied
