"""The common base of the nets: a head with timm's interface, and the config for 32-pixel images."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class ClassifierNet(nn.Module, ABC):
    """Base class of nets of feature layers, pooling, dropout and one linear layer `fc`.

    A subclass builds its layers, calls `reset_classifier` last, and defines `forward_features`, and `pool` and
    `pooling`, its name, if the pooled features are not the map's mean.

    Args:
        num_features: channels of the map that `forward_features` returns.
        in_chans: channels of the input.
        drop_rate: dropout before the head.
        hidden_size: width of the pooled features if it differs from `num_features`.
    """

    zero_bias = False
    """Whether a new head starts with a zero bias, as in some of the sources, instead of torch's default."""

    head_bias = True
    """Whether the head has a bias."""

    pooling = "avg"
    """timm's name of the pooling, the value of `global_pool`."""

    def __init__(self, num_features: int, in_chans: int, drop_rate: float, hidden_size: int | None = None) -> None:
        super().__init__()
        self.num_features = num_features
        self.head_hidden_size = hidden_size or num_features
        self.in_chans = in_chans
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        """Computes logits, (B, num_classes)."""
        return self.forward_head(self.forward_features(x))

    @abstractmethod
    def forward_features(self, x: Tensor) -> Tensor:
        """Computes the feature map before pooling."""

    def pool(self, x: Tensor) -> Tensor:
        """Averages the map (B, num_features, H, W) over positions: (B, head_hidden_size)."""
        return x.mean(dim=(2, 3))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Applies pooling, dropout and the linear layer; `pre_logits` leaves out the linear layer."""
        if self.global_pool:
            x = F.dropout(self.pool(x), self.drop_rate, self.training)
        return x if pre_logits else self.fc(x)

    def get_classifier(self) -> nn.Module:
        """Returns the linear layer, for timm."""
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replaces the linear layer by a new one for `num_classes` on the same device; 0 removes it.

        `global_pool` is `pooling`, or "" for a net that returns the map, without a classifier.
        """
        if global_pool is not None:
            self.global_pool = global_pool
        if self.global_pool not in (self.pooling, ""):
            raise ValueError(f'global_pool must be "{self.pooling}" or "", not {self.global_pool!r}')
        if num_classes and not self.global_pool:
            raise ValueError(f"a classifier for {num_classes} classes needs pooled features: set num_classes to 0")
        self.num_classes = num_classes
        if num_classes:
            like = next(self.parameters())
            settings = {"bias": self.head_bias, "device": like.device, "dtype": like.dtype}
            self.fc = nn.Linear(self.head_hidden_size, num_classes, **settings)
            if self.head_bias and self.zero_bias:
                nn.init.zeros_(self.fc.bias)
        else:
            self.fc = nn.Identity()


def init_convolutions(model: nn.Module) -> None:
    """Applies He initialisation: normal with standard deviation √(2 / (kernel area · output channels))."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def cifar_cfg(**changes: Any) -> dict[str, Any]:
    """Returns timm's config of a net for CIFAR-10 without weights; `changes` replace entries."""
    return {
        "url": "",
        "num_classes": 10,
        "input_size": (3, 32, 32),
        "pool_size": (8, 8),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        # CIFAR-10's channel statistics
        "mean": (0.4914, 0.4822, 0.4465),
        "std": (0.2470, 0.2435, 0.2616),
        "first_conv": "conv1",
        "classifier": "fc",
        **changes,
    }
