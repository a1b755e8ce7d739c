"""DenseNet-BC, held to timm's DenseNet, and its thrift with memory to its plain form."""

import copy

import pytest
import torch
from timm.models.densenet import DenseNet
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from hfmix.models.nets.densenet_bc import DenseLayer, DenseNetBC


def small(**kwargs):
    torch.manual_seed(0)
    return DenseNetBC(depth=22, growth_rate=4, **kwargs)


def set_memory_efficient(model, value):
    for module in model.modules():
        if isinstance(module, DenseLayer):
            module.memory_efficient = value
    return model


def test_it_is_timm_s_net_on_another_stem():
    ours = small()
    peer = DenseNet(growth_rate=4, block_config=(3, 3, 3), num_classes=10)
    peer.features.conv0 = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    peer.features.norm0 = peer.features.pool0 = torch.nn.Identity()
    theirs = peer.state_dict()
    assert [v.shape for v in theirs.values()] == [v.shape for v in ours.state_dict().values()]
    peer.load_state_dict(dict(zip(theirs, ours.state_dict().values(), strict=True)))
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(ours(x), peer(x))
    torch.testing.assert_close(ours.eval()(x), peer.eval()(x))


@pytest.mark.parametrize("training", [True, False])
def test_computing_twice_changes_nothing(training):
    thrifty = small().train(training)
    plain = set_memory_efficient(copy.deepcopy(thrifty), False)
    gradients = []
    for model in (thrifty, plain):
        x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)).requires_grad_()
        for _ in range(2):
            F.cross_entropy(model(x), torch.arange(4)).backward()
        gradients.append([x.grad, *(p.grad for p in model.parameters())])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    buffers = dict(plain.named_buffers())
    assert all(torch.equal(value, buffers[key]) for key, value in thrifty.named_buffers())
    assert thrifty.block1[0].norm1.num_batches_tracked == (2 if training else 0)


def saved_numbers(model, x):
    """How many numbers a forward pass keeps for the backward one."""
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = model(x)
    return sum(kept.values()), result


def test_what_is_kept_grows_with_the_layers_and_not_their_square():
    block = small().block1
    per_layer = []
    for layers in (8, 16):
        block = type(block)(layers, 8, 4, True)
        thrifty, _keep = saved_numbers(block, torch.randn(2, 8, 8, 8, requires_grad=True))
        plain, _keep = saved_numbers(
            set_memory_efficient(block, False), torch.randn(2, 8, 8, 8, requires_grad=True)
        )
        per_layer.append(thrifty / layers)
        assert thrifty < 0.5 * plain
    assert per_layer[1] < 1.1 * per_layer[0]


def test_it_starts_as_the_source_does():
    model = DenseNetBC(depth=16, growth_rate=16)
    weight = model.block3[1].conv1.weight
    assert abs(weight.std().item() / (2 / len(weight)) ** 0.5 - 1) < 0.05
    assert (model.fc.bias == 0).all()


@pytest.mark.parametrize("depth", [4, 121, 192])
def test_a_depth_that_there_is_not_is_refused(depth):
    with pytest.raises(ValueError, match=f"6n \\+ 4 .*not {depth}"):
        DenseNetBC(depth)
