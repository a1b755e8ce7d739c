"""The papers' nets for sound and tables as models of transformers.

Importing this module registers the nets for sound with transformers' auto classes and pipelines. There is no auto
class for tables: `hfmix.load_pretrained` loads their nets.
"""

from typing import Any

import timm
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from hfmix.models.processors.log_mel import LogMelFeatureExtractor


class SpectrogramNetConfig(PreTrainedConfig):
    """The config of a net of `hfmix.models.nets.spectrogram`; all arguments by keyword.

    Args:
        architecture: the net's name in timm.
        model_args: arguments of `timm.create_model` besides the number of classes.
    """

    model_type = "hfmix_spectrogram_net"
    architecture: str = "vgg11_audio"
    model_args: dict[str, Any] | None = None


class TableNetConfig(PreTrainedConfig):
    """The config of a net of `hfmix.models.nets.table`; all arguments by keyword.

    Args:
        architecture: the net's name in timm.
        model_args: arguments of `timm.create_model` besides the number of classes, in particular ``in_chans``.
    """

    model_type = "hfmix_table_net"
    architecture: str = "mlp_table"
    model_args: dict[str, Any] | None = None


class TimmNetForClassification(PreTrainedModel):
    """A classifier with a net that timm builds, for input other than images."""

    base_model_prefix = "net"
    main_input_name = "input_features"

    def __init__(self, config: SpectrogramNetConfig | TableNetConfig) -> None:
        super().__init__(config)
        settings = config.model_args or {}
        self.net = timm.create_model(config.architecture, num_classes=config.num_labels, **settings)
        self.post_init()

    def forward(
        self, input_features: Tensor, labels: Tensor | None = None, **kwargs: Any
    ) -> SequenceClassifierOutput:
        """Computes logits, and the loss if labels are given.

        Args:
            input_features: the output of the model's feature extractor.
            labels: (B,) class indices, or (B, C) multi-hot for problem_type multi_label_classification.
            **kwargs: not used.
        """
        logits = self.net(input_features)
        return SequenceClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type == "multi_label_classification":
            return F.binary_cross_entropy_with_logits(logits, labels)
        return F.cross_entropy(logits, labels)

    def _init_weights(self, module: nn.Module) -> None:
        """Initialises as the nets' own code does, with torch's defaults."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


class SpectrogramNetForAudioClassification(TimmNetForClassification):
    """A classifier of log-mel spectrograms, (B, bands, frames), with a net of `hfmix.models.nets.spectrogram`."""

    config_class = SpectrogramNetConfig

    def forward(
        self, input_features: Tensor, labels: Tensor | None = None, **kwargs: Any
    ) -> SequenceClassifierOutput:
        """Computes the same as `TimmNetForClassification.forward`, for spectrograms without a channel axis."""
        return super().forward(input_features.unsqueeze(1), labels)


class TableNetForClassification(TimmNetForClassification):
    """A classifier of a `TableProcessor`'s features, (B, F), with a net of `hfmix.models.nets.table`."""

    config_class = TableNetConfig


AutoConfig.register(SpectrogramNetConfig.model_type, SpectrogramNetConfig)
AutoFeatureExtractor.register(SpectrogramNetConfig, LogMelFeatureExtractor)
AutoModelForAudioClassification.register(SpectrogramNetConfig, SpectrogramNetForAudioClassification)
AutoConfig.register(TableNetConfig.model_type, TableNetConfig)
