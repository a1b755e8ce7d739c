"""The net of mixup's experiment on tables (arXiv 1710.09412, section 3.6), registered with timm.

It takes rows of numbers instead of images; `hfmix.models.transformers_models` wraps it for transformers.
"""

from collections.abc import Sequence
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from hfmix.models.nets.head import ClassifierNet


class TableMLP(ClassifierNet):
    """Fully connected layers with ReLU; torch's default initialisation, since the paper names none.

    Args:
        hidden: widths of the hidden layers.
        num_classes: number of classes; 0 for a net that returns the last hidden layer's activations.
        in_chans: number of features per row.
        global_pool: "avg"; there is nothing to pool, and "" only removes the head.
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
        """Maps (B, in_chans) to (B, num_features)."""
        return self.layers(x)

    def pool(self, x: Tensor) -> Tensor:
        """Returns the features as they are."""
        return x


default_cfgs = generate_default_cfgs(
    {
        "mlp_table.untrained": {
            "url": "",
            "num_classes": 3,
            # Iris's four features, which in_chans changes; timm needs three numbers
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
    """Builds a net of two hidden layers of 128 with ReLU, for rows of `in_chans` features."""
    return build_model_with_cfg(TableMLP, "mlp_table", pretrained, **kwargs)
