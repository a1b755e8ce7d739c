"""The papers' nets for sound and for tables as transformers' models.

Once this is imported, transformers' auto classes and pipelines load those for sound. It has no auto class for
tables: `hfmix.load_pretrained` loads them.
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
    """Which net of `hfmix.models.nets.spectrogram`, and its arguments; all by keyword.

    Args:
        architecture: timm's name of it.
        model_args: what `timm.create_model` is given beside the number of classes.
    """

    model_type = "hfmix_spectrogram_net"
    architecture: str = "vgg11_audio"
    model_args: dict[str, Any] | None = None


class TableNetConfig(PreTrainedConfig):
    """Which net of `hfmix.models.nets.table`, and its arguments; all by keyword.

    Args:
        architecture: timm's name of it.
        model_args: what `timm.create_model` is given beside the number of classes, ``in_chans`` above all.
    """

    model_type = "hfmix_table_net"
    architecture: str = "mlp_table"
    model_args: dict[str, Any] | None = None


class TimmNetForClassification(PreTrainedModel):
    """A net that timm builds, for inputs that are no images."""

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
        """Logits, and the loss where labels are given.

        Args:
            input_features: as the model's feature extractor makes them.
            labels: (B,) class indices, or (B, C) multi-hot where the config says multi_label_classification.
            **kwargs: not used.
        """
        logits = self.net(input_features)
        return SequenceClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.config.problem_type == "multi_label_classification":
            return F.binary_cross_entropy_with_logits(logits, labels)
        return F.cross_entropy(logits, labels)

    def _init_weights(self, module: nn.Module) -> None:
        """As the nets' own code draws them, which is torch's way."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


class SpectrogramNetForAudioClassification(TimmNetForClassification):
    """A net of `hfmix.models.nets.spectrogram`, for (B, bands, frames) log-mel spectrograms."""

    config_class = SpectrogramNetConfig

    def forward(
        self, input_features: Tensor, labels: Tensor | None = None, **kwargs: Any
    ) -> SequenceClassifierOutput:
        """See `TimmNetForClassification.forward`; the spectrograms have no channel axis."""
        return super().forward(input_features.unsqueeze(1), labels)


class TableNetForClassification(TimmNetForClassification):
    """A net of `hfmix.models.nets.table`, for (B, F) rows of features of a `TableProcessor`."""

    config_class = TableNetConfig


AutoConfig.register(SpectrogramNetConfig.model_type, SpectrogramNetConfig)
AutoFeatureExtractor.register(SpectrogramNetConfig, LogMelFeatureExtractor)
AutoModelForAudioClassification.register(SpectrogramNetConfig, SpectrogramNetForAudioClassification)
AutoConfig.register(TableNetConfig.model_type, TableNetConfig)
