"""Two nets for spectrograms as in mixup's speech experiment (arXiv 1710.09412, section 3.3), registered with timm.

The paper trains a LeNet and a VGG-11 on 160×101 spectrograms of one-second commands and only states that they
have two fully connected layers. Widths and kernels here are those of adiyoss/GCommandsPytorch, public nets for the
same data that also have two. Choices that the paper leaves open:

- The map is averaged to a fixed grid before the first fully connected layer, so that any number of bands and
  frames works. The default grid is the map of 64 bands and 101 frames (one second of log-mel at a hop of 10 ms),
  where averaging changes nothing. For 161×101, it would be `pool_size=(37, 22)` for LeNet and `(5, 3)` for VGG-11.
- Inputs with fewer bands or frames than the pooling needs are padded with zeros, as the paper pads short
  utterances.
- No dropout unless `drop_rate` sets it, before the head; GCommandsPytorch's LeNet has two dropout layers.
- BatchNorm in VGG-11, as in GCommandsPytorch, and a ReLU between its fully connected layers, as in Simonyan &
  Zisserman (arXiv 1409.1556) but not in GCommandsPytorch.
- torch's default initialisation.

Input is (B, 1, bands, frames), normalised by the feature extractor: the config's mean and standard deviation are 0
and 1. Both are timm models, but not for use with TimmWrapper, whose image processor cannot make spectrograms.
"""

from collections.abc import Sequence
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional as F

from hfmix.models.nets.head import ClassifierNet


class SpectrogramNet(ClassifierNet):
    """Stages of convolutions and max-pooling, average pooling to a grid, a hidden layer and the head.

    Args:
        stages: the stages of convolutions.
        num_features: channels of the last stage.
        hidden: width of the hidden layer.
        min_size: smallest number of bands and frames that the stages can take.
        num_classes: number of classes; 0 for a net that returns the hidden layer's activations.
        in_chans: channels of the input.
        global_pool: "avg", or "" for a net that returns the map.
        drop_rate: dropout before the head.
        pool_size: bands and frames of the grid.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        num_features: int,
        hidden: int,
        min_size: int,
        num_classes: int,
        in_chans: int,
        global_pool: str,
        drop_rate: float,
        pool_size: tuple[int, int],
    ) -> None:
        super().__init__(num_features, in_chans, drop_rate, hidden_size=hidden)
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(num_features * pool_size[0] * pool_size[1], hidden)
        self.min_size = min_size
        self.pool_size = tuple(pool_size)
        self.reset_classifier(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """Maps (B, in_chans, bands, frames) to (B, num_features, …), before pooling."""
        bands, frames = x.shape[2:]
        if bands < self.min_size or frames < self.min_size:
            x = F.pad(x, (0, max(0, self.min_size - frames), 0, max(0, self.min_size - bands)))
        return self.stages(x)

    def pool(self, x: Tensor) -> Tensor:
        """Maps the feature map to the hidden layer's activations, (B, hidden)."""
        return F.relu(self.hidden(F.adaptive_avg_pool2d(x, self.pool_size).flatten(1)))


class LeNetAudio(SpectrogramNet):
    """LeNet: two stages of 5×5 convolution to 20 channels, max-pooling and ReLU; a hidden layer of 1000.

    Args:
        num_classes, in_chans, global_pool, drop_rate, pool_size: as in `SpectrogramNet`.
    """

    def __init__(
        self,
        num_classes: int = 30,
        in_chans: int = 1,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        pool_size: tuple[int, int] = (13, 22),
    ) -> None:
        stages = [
            nn.Sequential(nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2), nn.ReLU()) for channels in (in_chans, 20)
        ]
        super().__init__(stages, 20, 1000, 16, num_classes, in_chans, global_pool, drop_rate, pool_size)


class VGGAudio(SpectrogramNet):
    """VGG: stages of 3×3 convolutions with BatchNorm and ReLU, then max-pooling; a hidden layer of 512.

    Args:
        widths: channels of each stage's convolutions; by default VGG-11's.
        num_classes, in_chans, global_pool, drop_rate, pool_size: as in `SpectrogramNet`.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]] = ((64,), (128,), (256, 256), (512, 512), (512, 512)),
        num_classes: int = 30,
        in_chans: int = 1,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        pool_size: tuple[int, int] = (2, 3),
    ) -> None:
        stages = []
        channels = in_chans
        for stage in widths:
            layers = []
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        smallest = 2 ** len(stages)
        super().__init__(stages, channels, 512, smallest, num_classes, in_chans, global_pool, drop_rate, pool_size)


def _cfg(**changes: Any) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 30,
        "input_size": (1, 64, 101),
        "mean": (0.0,),
        "std": (1.0,),
        "first_conv": "stages.0.0",
        "classifier": "fc",
        **changes,
    }


default_cfgs = generate_default_cfgs(
    {
        "lenet_audio.untrained": _cfg(pool_size=(13, 22)),
        "vgg11_audio.untrained": _cfg(pool_size=(2, 3)),
    }
)


@register_model
def lenet_audio(pretrained: bool = False, **kwargs: Any) -> LeNetAudio:
    """Builds LeNet for spectrograms, 5.8 M parameters."""
    return build_model_with_cfg(LeNetAudio, "lenet_audio", pretrained, **kwargs)


@register_model
def vgg11_audio(pretrained: bool = False, **kwargs: Any) -> VGGAudio:
    """Builds VGG-11 for spectrograms, 10.8 M parameters."""
    return build_model_with_cfg(VGGAudio, "vgg11_audio", pretrained, **kwargs)
