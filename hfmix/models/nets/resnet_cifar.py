"""Residual nets for 32-pixel images, registered with timm: He et al.'s ResNet-20, ResNet-50 with a small stem."""

from typing import Any

from timm.models import ResNet, build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck
from torch import Tensor, nn
from torch.nn import functional as F

from hfmix.models.nets.head import ClassifierNet, cifar_cfg, init_convolutions


class ResNetCifar(ClassifierNet):
    """A 3×3 stem and three stages of n blocks with 16, 32 and 64 channels at full, half and quarter size.

    It has 6n + 2 layers; shortcuts have no parameters (option A: subsampled, padded with zero channels).
    He et al. 2016, arXiv 1512.03385, section 4.2.

    Args:
        depth: n, the number of blocks in each stage.
        num_classes: number of classes; 0 for a net that returns the pooled features.
        in_chans: channels of the input.
        global_pool: "avg", or "" for a net that returns the (B, 64, H/4, W/4) map.
        drop_rate: dropout before the head.
        proj_drop_rate: dropout within the blocks, before the second convolution.
    """

    def __init__(
        self,
        depth: int = 3,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
    ) -> None:
        super().__init__(64, in_chans, drop_rate)
        self.conv1 = nn.Conv2d(in_chans, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, depth, 1, proj_drop_rate)
        self.layer2 = _stage(16, 32, depth, 2, proj_drop_rate)
        self.layer3 = _stage(32, 64, depth, 2, proj_drop_rate)
        init_convolutions(self)
        self.reset_classifier(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps (B, in_chans, H, W) to (B, 64, H/4, W/4), before pooling."""
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            x = stage(x)
        return x


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with BatchNorm and a shortcut without parameters."""

    def __init__(self, in_channels: int, channels: int, stride: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.extra_channels = channels - in_channels
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(F.dropout(out, self.drop_rate, self.training)))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        half = self.extra_channels // 2
        return F.relu(out + F.pad(shortcut, (0, 0, 0, 0, half, self.extra_channels - half)))


def _stage(in_channels: int, channels: int, depth: int, stride: int, drop_rate: float) -> nn.Sequential:
    first = BasicBlock(in_channels, channels, stride, drop_rate)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, drop_rate) for _ in range(depth - 1)))


class SmallStemResNet(ResNet):
    """timm's ResNet with a 3×3 stem of stride 1 and no max-pooling, so that 32 pixels give a 4×4 map.

    This is the net of RegMixup's code (FrancescoPinto/RegMixup, models/backbones/resnet.py), which keeps torch's
    default initialisation; as in timm, the stride of a bottleneck is in its 3×3 convolution.

    Args:
        layers: number of blocks in each stage.
        in_chans: channels of the input.
        kwargs: timm's other arguments.
    """

    def __init__(self, layers: tuple[int, ...] = (3, 4, 6, 3), in_chans: int = 3, **kwargs: Any) -> None:
        super().__init__(Bottleneck, layers, in_chans=in_chans, **kwargs)
        old = self.conv1.weight
        self.conv1 = nn.Conv2d(in_chans, 64, 3, padding=1, bias=False, device=old.device, dtype=old.dtype)
        self.maxpool = nn.Identity()
        for info in self.feature_info:
            info["reduction"] = max(1, info["reduction"] // 4)

    def init_weights(self, zero_init_last: bool = False) -> None:
        """Does nothing, since the source keeps the layers' default initialisation."""


default_cfgs = generate_default_cfgs(
    {
        "resnet20_cifar.untrained": cifar_cfg(),
        "resnet50_cifar.untrained": cifar_cfg(pool_size=(4, 4)),
    }
)


@register_model
def resnet20_cifar(pretrained: bool = False, **kwargs: Any) -> ResNetCifar:
    """Builds ResNet-20 for 32-pixel images, 0.27 M parameters."""
    return build_model_with_cfg(ResNetCifar, "resnet20_cifar", pretrained, **{"depth": 3, **kwargs})


@register_model
def resnet50_cifar(pretrained: bool = False, **kwargs: Any) -> SmallStemResNet:
    """Builds RegMixup's ResNet-50 for 32-pixel images, 23.52 M parameters."""
    return build_model_with_cfg(SmallStemResNet, "resnet50_cifar", pretrained, **kwargs)
