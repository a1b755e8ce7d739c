"""Wide residual nets for 32-pixel images (Zagoruyko & Komodakis 2016, arXiv 1605.07146), registered with timm."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from hfmix.models.nets.head import cifar_cfg, init_convolutions
from hfmix.models.nets.preact_resnet import PreActResNet


class WideResNet(PreActResNet):
    """WRN-d-k: a stem of 16 channels and three stages of (d - 4)/6 blocks with 16k, 32k and 64k channels.

    As in the paper's table 1 and its code (szagoruyko/wide-residual-networks): He initialisation by fan-out, a
    head with zero bias, and (with `proj_drop_rate`) dropout between the convolutions of a block.

    Args:
        depth: d, the number of convolutions on the longest path; 6n + 4.
        width: k, the width relative to He et al.'s nets.
        proj_drop_rate: the paper's dropout: 0.3 in its CIFAR tables, 0.1 in RegMixup's code, 0 for none.
        kwargs: num_classes, in_chans, global_pool and drop_rate of `PreActResNet`.
    """

    zero_bias = True

    def __init__(self, depth: int = 28, width: int = 10, proj_drop_rate: float = 0.0, **kwargs: Any) -> None:
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f"the depth of a wide ResNet is 6n + 4 (10, 16, 22, 28, 40, …), not {depth}")
        super().__init__(
            depths=(blocks,) * 3,
            widths=(16 * width, 32 * width, 64 * width),
            stem_width=16,
            proj_drop_rate=proj_drop_rate,
            final_norm=True,
            **kwargs,
        )
        init_convolutions(self)


default_cfgs = generate_default_cfgs(
    {
        "wrn28_10.untrained": cifar_cfg(),
        "wrn16_4.untrained": cifar_cfg(),
    }
)


@register_model
def wrn28_10(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """Builds WRN-28-10, 36.5 M parameters, the net of mixup's and RegMixup's CIFAR tables."""
    return build_model_with_cfg(WideResNet, "wrn28_10", pretrained, **{"depth": 28, "width": 10, **kwargs})


@register_model
def wrn16_4(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """Builds WRN-16-4, 2.7 M parameters, small enough to train on a CPU."""
    return build_model_with_cfg(WideResNet, "wrn16_4", pretrained, **{"depth": 16, "width": 4, **kwargs})
