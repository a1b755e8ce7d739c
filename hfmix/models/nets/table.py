"""The net of mixup's experiment on tables (arXiv 1710.09412, section 3.6), registered with timm.

It takes rows of numbers, not images. timm builds it all the same; `hfmix.models.transformers_models` holds it for
transformers.
"""

from collections.abc import Sequence
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from hfmix.models.nets.head import ClassifierNet


class TableMLP(ClassifierNet):
    """Fully connected layers with ReLU; torch's own initialisation, the paper naming none.

    Args:
        hidden: widths of the hidden layers.
        num_classes: of the head; 0 gives the last hidden layer.
        in_chans: features of a row.
        global_pool: "avg"; there is nothing to pool, and "" only takes the head away.
        drop_rate: dropout before the head.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        num_classes: int = 3,
        in_chans: int = 4,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__(hidden[-1], in_chans, drop_rate)
        widths = [in_chans, *hidden]
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Linear(i, o), nn.ReLU()) for i, o in zip(widths, hidden, strict=False))
        )
        self.reset_classifier(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, in_chans) to (B, num_features)."""
        return self.layers(x)

    def pool(self, x: Tensor) -> Tensor:
        """The features as they are."""
        return x


default_cfgs = generate_default_cfgs(
    {
        "mlp_table.untrained": {
            "url": "",
            "num_classes": 3,
            # Iris's four features, which in_chans changes; timm wants three numbers
            "input_size": (4, 1, 1),
            "mean": (0.0,),
            "std": (1.0,),
            "first_conv": "layers.0.0",
            "classifier": "fc",
        }
    }
)


@register_model
def mlp_table(pretrained: bool = False, **kwargs: Any) -> TableMLP:
    """Two hidden layers of 128 with ReLU, on rows of `in_chans` features."""
    return build_model_with_cfg(TableMLP, "mlp_table", pretrained, **kwargs)
