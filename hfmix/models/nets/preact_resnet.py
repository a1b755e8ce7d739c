"""Pre-activation residual nets for 32-pixel images (He et al. 2016, arXiv 1603.05027), registered with timm.

Two nets are called PreAct ResNet-18 in the mixup literature:

- `preact_resnet18` is the one in kuangliu/pytorch-cifar, which the mixup paper cites and later work trains:
  11,171,146 parameters for 10 classes. Its shortcuts are identities, as in He et al.
- `preact_resnet18_mixup` is the one that facebookresearch/mixup-cifar10 trains (`ResNet18` in its
  models/resnet.py, a copy of kuangliu's file from before September 2017). A BatchNorm and a ReLU follow the stem
  (128 more parameters), and every shortcut starts after the block's first BatchNorm and ReLU, so that none is an
  identity. Use it to reproduce the mixup paper's tables.

Neither has the BatchNorm and ReLU that He et al. put before pooling (their appendix); `final_norm` adds them.
"""

from collections.abc import Sequence
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

from hfmix.models.nets.head import ClassifierNet, cifar_cfg


class PreActResNet(ClassifierNet):
    """A 3×3 stem and stages of pre-activation blocks; every stage but the first halves height and width.

    All weights keep torch's default initialisation, as in the sources above.

    Args:
        depths: number of blocks in each stage.
        widths: channels of each stage.
        stem_width: channels of the stem.
        num_classes: number of classes; 0 for a net that returns the pooled features.
        in_chans: channels of the input.
        global_pool: "avg", or "" for a net that returns the map.
        drop_rate: dropout before the head.
        proj_drop_rate: dropout within the blocks, before the second convolution.
        stem_norm: BatchNorm and ReLU after the stem.
        activated_shortcut: shortcuts without a convolution pass on the block's first activation, not its input.
        final_norm: BatchNorm and ReLU after the last block.
    """

    def __init__(
        self,
        depths: Sequence[int] = (2, 2, 2, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        stem_width: int = 64,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        stem_norm: bool = False,
        activated_shortcut: bool = False,
        final_norm: bool = False,
    ) -> None:
        super().__init__(widths[-1], in_chans, drop_rate)
        self.conv1 = nn.Conv2d(in_chans, stem_width, 3, padding=1, bias=False)
        self.norm1 = _norm_relu(stem_width) if stem_norm else nn.Identity()
        stages = []
        channels = stem_width
        for depth, width in zip(depths, widths, strict=True):
            blocks = []
            for index in range(depth):
                stride = 2 if stages and index == 0 else 1
                blocks.append(PreActBlock(channels, width, stride, proj_drop_rate, activated_shortcut))
                channels = width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.norm = _norm_relu(channels) if final_norm else nn.Identity()
        self.reset_classifier(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps (B, in_chans, H, W) to (B, num_features, H/2^(stages - 1), …), before pooling."""
        return self.norm(self.stages(self.norm1(self.conv1(x))))


class PreActBlock(nn.Module):
    """Twice BatchNorm, ReLU and 3×3 convolution, plus a shortcut.

    If stride or channels change, the shortcut is a 1×1 convolution of the first activation; otherwise it is the
    input, or the first activation with `activated_shortcut`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        drop_rate: float = 0.0,
        activated_shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        changes = stride != 1 or in_channels != channels
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False) if changes else None
        self.drop_rate = drop_rate
        self.activated_shortcut = activated_shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H/stride, W/stride)."""
        out = F.relu(self.bn1(x))
        bypass = out if self.activated_shortcut else x
        shortcut = bypass if self.shortcut is None else self.shortcut(out)
        out = F.relu(self.bn2(self.conv1(out)))
        out = F.dropout(out, self.drop_rate, self.training)
        return self.conv2(out) + shortcut


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


default_cfgs = generate_default_cfgs(
    {
        "preact_resnet18.untrained": cifar_cfg(pool_size=(4, 4)),
        "preact_resnet18_mixup.untrained": cifar_cfg(pool_size=(4, 4)),
    }
)


@register_model
def preact_resnet18(pretrained: bool = False, **kwargs: Any) -> PreActResNet:
    """Builds kuangliu's PreAct ResNet-18, 11.17 M parameters."""
    return build_model_with_cfg(PreActResNet, "preact_resnet18", pretrained, **kwargs)


@register_model
def preact_resnet18_mixup(pretrained: bool = False, **kwargs: Any) -> PreActResNet:
    """Builds the PreAct ResNet-18 of mixup's own code, 11.17 M parameters."""
    defaults = {"stem_norm": True, "activated_shortcut": True}
    return build_model_with_cfg(PreActResNet, "preact_resnet18_mixup", pretrained, **{**defaults, **kwargs})
