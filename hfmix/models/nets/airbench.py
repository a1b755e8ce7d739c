"""The nets of K. Jordan's "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", registered with timm."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

from hfmix.models.nets.head import ClassifierNet, cifar_cfg

_PATCH = 2  # side of the patches that the first layer whitens


class Airbench(ClassifierNet):
    """A whitening first layer, blocks of 3×3 convolutions at half, quarter and eighth size, and max pooling.

    arXiv 2404.00498; KellerJordan/cifar10-airbench. The first layer's weights are frozen: `initialize_from` takes
    them from training images, which `hfmix train` does before it trains such a net from random weights. Without
    it they stay random.

    Args:
        widths: output channels of each block.
        convolutions: number of convolutions in each block, 2 or more.
        residual: whether a block's first activation is added to its last convolution's output.
        norm_momentum: BatchNorm's momentum, the weight of a new batch in the running statistics.
        logit_scale: fixed factor of the pooled features, and so of the logits.
        num_classes: number of classes; 0 for a net that returns the pooled features.
        in_chans: channels of the input.
        global_pool: "max", or "" for a net that returns the map, (B, widths[-1], 3, 3) for 32 pixels.
        drop_rate: dropout before the head.
        proj_drop_rate: dropout within the blocks, before the second convolution.
    """

    pooling = "max"
    head_bias = False

    def __init__(
        self,
        widths: Sequence[int] = (64, 256, 256),
        convolutions: int = 2,
        residual: bool = False,
        norm_momentum: float = 0.4,
        logit_scale: float = 1 / 9,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "max",
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
    ) -> None:
        if convolutions < 2:
            raise ValueError(f"a block has 2 convolutions or more, not {convolutions}")
        super().__init__(widths[-1], in_chans, drop_rate)
        self.logit_scale = logit_scale
        self.whiten = nn.Conv2d(in_chans, 2 * in_chans * _PATCH**2, _PATCH)
        self.whiten.weight.requires_grad = False
        nn.init.zeros_(self.whiten.bias)
        channels = (self.whiten.out_channels, *widths)
        self.blocks = nn.Sequential(
            *(
                Block(before, after, convolutions, residual, norm_momentum, proj_drop_rate)
                for before, after in zip(channels, widths, strict=False)
            )
        )
        self.reset_classifier(num_classes, global_pool)

    @torch.no_grad()
    def initialize_from(self, images: Tensor) -> None:
        """Sets the first layer's weights so that they whiten the images' 2×2 patches; see `whitening_filters`.

        Args:
            images: (N, in_chans, H, W) training images, normalised, without augmentation.
        """
        self.whiten.weight.copy_(whitening_filters(images.to(self.whiten.weight.device), _PATCH))

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps (B, in_chans, H, W) to (B, widths[-1], H', W'), before pooling; H' is ⌊(H - 1) / 8⌋."""
        return self.blocks(F.gelu(self.whiten(x)))

    def pool(self, x: Tensor) -> Tensor:
        """Returns the map's maximum over positions times `logit_scale`: (B, widths[-1])."""
        return x.amax(dim=(2, 3)) * self.logit_scale


class Block(nn.Module):
    """Convolution and 2×2 max pooling, then further convolutions, each with BatchNorm and GELU."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        convolutions: int,
        residual: bool,
        norm_momentum: float,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            _identity_convolution(in_channels if i == 0 else channels, channels) for i in range(convolutions)
        )
        self.norms = nn.ModuleList(BiasBatchNorm(channels, norm_momentum) for _ in range(convolutions))
        self.residual = residual
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H/2, W/2)."""
        first = x = F.gelu(self.norms[0](F.max_pool2d(self.convs[0](x), 2)))
        x = F.dropout(x, self.drop_rate, self.training)
        last = len(self.convs) - 1
        for i in range(1, last + 1):
            x = self.norms[i](self.convs[i](x))
            x = F.gelu(x + first if self.residual and i == last else x)
        return x


class BiasBatchNorm(nn.BatchNorm2d):
    """BatchNorm with a bias and without a scale, and next to no epsilon."""

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__(channels, eps=1e-12, momentum=momentum)
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        """Resets the running statistics, and the bias to zero."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


def whitening_filters(images: Tensor, side: int, eps: float = 5e-4) -> Tensor:
    """Computes filters that decorrelate the images' patches: (2·C·side², C, side, side) float32.

    The first half are the eigenvectors of the patches' second moments, each divided by √(eigenvalue + eps), from
    the largest eigenvalue down, so that their outputs on these images have the mean squares λ / (λ + eps) and are
    uncorrelated (about zero); the second half are their negatives.

    Args:
        images: (N, C, H, W), normalised.
        side: of the patches, in pixels.
        eps: keeps patterns that hardly occur from being blown up to noise.
    """
    size = images.shape[1] * side**2
    total = torch.zeros(size, size, dtype=torch.float64, device=images.device)
    count = 0
    for part in images.split(500):
        patches = F.unfold(part.float(), side).transpose(1, 2).reshape(-1, size).double()
        total += patches.T @ patches
        count += len(patches)
    values, vectors = torch.linalg.eigh(total / count)
    filters = (vectors / (values.clamp_min(0) + eps).sqrt()).flip(1).T.reshape(size, images.shape[1], side, side)
    return torch.cat([filters, -filters]).float()


def _identity_convolution(in_channels: int, channels: int) -> nn.Conv2d:
    """Builds a 3×3 convolution whose first `in_channels` filters copy their channel; the others are random."""
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight.detach()[:in_channels])
    return convolution


def _cfg(**changes: Any) -> dict[str, Any]:
    return cifar_cfg(pool_size=(3, 3), first_conv="whiten", **changes)


default_cfgs = generate_default_cfgs(
    {
        "airbench_cifar.untrained": _cfg(),
        "airbench96_cifar.untrained": _cfg(),
    }
)

_WIDE = {"widths": (128, 384, 512), "convolutions": 3, "residual": True, "norm_momentum": 0.1}


@register_model
def airbench_cifar(pretrained: bool = False, **kwargs: Any) -> Airbench:
    """Builds the net that reaches 94 % on CIFAR-10 in ten epochs, 1.97 M parameters."""
    return build_model_with_cfg(Airbench, "airbench_cifar", pretrained, **kwargs)


@register_model
def airbench96_cifar(pretrained: bool = False, **kwargs: Any) -> Airbench:
    """Builds the wider and deeper net that reaches 96 % on CIFAR-10 in 37 epochs, 9.7 M parameters."""
    return build_model_with_cfg(Airbench, "airbench96_cifar", pretrained, **{**_WIDE, **kwargs})
