"""The residual nets for 32-pixel images (He et al. 2016, arXiv 1512.03385, section 4.2), registered with timm."""

from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F


class ResNetCifar(nn.Module):
    """A 3×3 stem, then three stages of n blocks with 16, 32 and 64 channels at full, half and quarter size.

    6n + 2 layers; shortcuts have no parameters (the paper's option A: subsampled and padded with zero channels).

    Args:
        depth: n, blocks a stage.
        num_classes: of the head; 0 gives the pooled features.
        in_chans: channels of the input.
        global_pool: "avg", or "" for the (B, 64, H/4, W/4) map.
        drop_rate: dropout before the head.
    """

    def __init__(
        self,
        depth: int = 3,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features = self.head_hidden_size = 64
        self.drop_rate = drop_rate
        self.conv1 = nn.Conv2d(in_chans, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, depth, stride=1)
        self.layer2 = _stage(16, 32, depth, stride=2)
        self.layer3 = _stage(32, 64, depth, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.reset_classifier(num_classes, global_pool)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_chans, H, W) to (B, num_classes) logits."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The (B, 64, H/4, W/4) map before pooling."""
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pooling, dropout and the linear head; `pre_logits` leaves the head out."""
        if self.global_pool == "avg":
            x = F.dropout(x.mean(dim=(2, 3)), self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def get_classifier(self) -> nn.Module:
        """The head, as timm asks for it."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head for `num_classes`; 0 for none."""
        if global_pool is not None:
            self.global_pool = global_pool
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with BatchNorm and a shortcut without parameters."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.extra_channels = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        half = self.extra_channels // 2
        return F.relu(out + F.pad(shortcut, (0, 0, 0, 0, half, self.extra_channels - half)))


def _stage(in_channels: int, channels: int, depth: int, stride: int) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(depth - 1)))


default_cfgs = generate_default_cfgs(
    {
        "resnet20_cifar.untrained": {
            "url": "",
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "pool_size": (8, 8),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            # CIFAR-10's own channel statistics
            "mean": (0.4914, 0.4822, 0.4465),
            "std": (0.2470, 0.2435, 0.2616),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def resnet20_cifar(pretrained: bool = False, **kwargs: Any) -> ResNetCifar:
    """ResNet-20 for 32-pixel images, 0.27 M parameters."""
    torch._assert(not pretrained, "resnet20_cifar has no pretrained weights")
    return build_model_with_cfg(ResNetCifar, "resnet20_cifar", pretrained, depth=3, **kwargs)
