"""Densely connected nets for 32-pixel images (Huang et al. 2017, arXiv 1608.06993), registered with timm."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from hfmix.models.nets.head import ClassifierNet, cifar_cfg, init_convolutions


class DenseNetBC(ClassifierNet):
    """DenseNet-BC of depth L and growth rate k: three dense blocks of (L - 4)/6 layers, then half the channels.

    The paper's section 3 ("implementation details") and its code (liuzhuang13/DenseNet, models/densenet.lua): a
    3×3 stem of 2k channels without BatchNorm, He initialisation by fan-out, a head with zero bias.

    Args:
        depth: L; 6n + 4.
        growth_rate: k, the channels that each layer adds.
        num_classes: number of classes; 0 for a net that returns the pooled features.
        in_chans: channels of the input.
        global_pool: "avg", or "" for a net that returns the map.
        drop_rate: dropout before the head.
        memory_efficient: recompute each layer's concatenation, BatchNorm, ReLU and 1×1 convolution in the backward
            pass instead of keeping them (Pleiss et al. 2017, arXiv 1707.06990). Memory then grows linearly instead
            of quadratically with the number of layers: for DenseNet-BC-190, about 90 MB instead of 350 per image
            of 32 pixels; results are the same. Under torch.compile, the compiler decides instead.
    """

    zero_bias = True

    def __init__(
        self,
        depth: int = 190,
        growth_rate: int = 40,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        memory_efficient: bool = True,
    ) -> None:
        layers, rest = divmod(depth - 4, 6)
        if rest or layers < 1:
            raise ValueError(f"the depth of a DenseNet-BC is 6n + 4 (10, 16, …, 100, 190), not {depth}")
        first = 2 * growth_rate
        second = (first + layers * growth_rate) // 2
        third = (second + layers * growth_rate) // 2
        last = third + layers * growth_rate
        super().__init__(last, in_chans, drop_rate)
        self.conv1 = nn.Conv2d(in_chans, first, 3, padding=1, bias=False)
        self.block1 = DenseBlock(layers, first, growth_rate, memory_efficient)
        self.transition1 = Transition(first + layers * growth_rate, second)
        self.block2 = DenseBlock(layers, second, growth_rate, memory_efficient)
        self.transition2 = Transition(second + layers * growth_rate, third)
        self.block3 = DenseBlock(layers, third, growth_rate, memory_efficient)
        self.norm = nn.BatchNorm2d(last)
        init_convolutions(self)
        self.reset_classifier(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps (B, in_chans, H, W) to (B, num_features, H/4, W/4), before pooling."""
        x = self.transition1(self.block1(self.conv1(x)))
        x = self.transition2(self.block2(x))
        return F.relu(self.norm(self.block3(x)), inplace=True)


class DenseBlock(nn.Sequential):
    """Layers that each take the input and all earlier outputs; the block returns all of them, concatenated."""

    def __init__(self, layers: int, in_channels: int, growth_rate: int, memory_efficient: bool) -> None:
        super().__init__(
            *(DenseLayer(in_channels + i * growth_rate, growth_rate, memory_efficient) for i in range(layers))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to (B, in_channels + layers · growth_rate, H, W)."""
        maps = [x]
        for layer in self:
            maps.append(layer(maps))
        return torch.cat(maps, dim=1)


class DenseLayer(nn.Module):
    """BatchNorm, ReLU and 1×1 convolution to 4k channels; BatchNorm, ReLU and 3×3 convolution to k channels."""

    def __init__(self, in_channels: int, growth_rate: int, memory_efficient: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth_rate)
        self.conv2 = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.memory_efficient = memory_efficient

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps feature maps with in_channels in total to (B, growth_rate, H, W)."""
        # the compiler decides by itself what to recompute and cannot trace the second pass below
        if self.memory_efficient and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            out = checkpoint(self._bottleneck, *maps, use_reentrant=False, context_fn=self._passes)
        else:
            out = self._bottleneck(*maps)
        return self.conv2(F.relu(self.norm2(out), inplace=True))

    def _bottleneck(self, *maps: Tensor) -> Tensor:
        return self.conv1(F.relu(self.norm1(torch.cat(maps, dim=1)), inplace=True))

    def _passes(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _untracked(self.norm1)


@contextmanager
def _untracked(norm: nn.BatchNorm2d) -> Iterator[None]:
    """Keeps the running statistics from counting a batch twice."""
    # disabling them would save fewer tensors than in the first pass, which checkpoint does not allow
    momentum, batches = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, batches


class Transition(nn.Sequential):
    """BatchNorm, ReLU, 1×1 convolution and 2×2 average pooling."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.AvgPool2d(2),
        )


default_cfgs = generate_default_cfgs({"densenet_bc_190.untrained": cifar_cfg()})


@register_model
def densenet_bc_190(pretrained: bool = False, **kwargs: Any) -> DenseNetBC:
    """Builds DenseNet-BC-190 with growth rate 40, 25.6 M parameters, as in mixup's CIFAR table."""
    defaults = {"depth": 190, "growth_rate": 40}
    return build_model_with_cfg(DenseNetBC, "densenet_bc_190", pretrained, **{**defaults, **kwargs})
