"""The papers' nets for sound as transformers' models: once imported, its auto classes and pipelines load them."""

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

from hfmix.models.log_mel import LogMelFeatureExtractor


class SpectrogramNetConfig(PreTrainedConfig):
    """Which net of `hfmix.models.audio`, and its arguments.

    Args:
        architecture: timm's name of it.
        model_args: what `timm.create_model` is given beside the number of classes.
    """

    model_type = "hfmix_spectrogram_net"

    def __init__(
        self, architecture: str = "vgg11_audio", model_args: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.architecture = architecture
        self.model_args = dict(model_args or {})
        super().__init__(**kwargs)


class SpectrogramNetForAudioClassification(PreTrainedModel):
    """A net of `hfmix.models.audio` for log-mel spectrograms without a channel axis."""

    config_class = SpectrogramNetConfig
    base_model_prefix = "net"
    main_input_name = "input_features"

    def __init__(self, config: SpectrogramNetConfig) -> None:
        super().__init__(config)
        self.net = timm.create_model(config.architecture, num_classes=config.num_labels, **config.model_args)
        self.post_init()

    def forward(
        self, input_features: Tensor, labels: Tensor | None = None, **kwargs: Any
    ) -> SequenceClassifierOutput:
        """Logits, and the cross entropy where class indices are given.

        Args:
            input_features: (B, bands, frames), as `LogMelFeatureExtractor` makes them.
            labels: (B,) class indices.
            **kwargs: not used.
        """
        logits = self.net(input_features.unsqueeze(1))
        return SequenceClassifierOutput(
            loss=None if labels is None else F.cross_entropy(logits, labels), logits=logits
        )

    def _init_weights(self, module: nn.Module) -> None:
        """As the nets' own code draws them, which is torch's way."""
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


AutoConfig.register(SpectrogramNetConfig.model_type, SpectrogramNetConfig)
AutoFeatureExtractor.register(SpectrogramNetConfig, LogMelFeatureExtractor)
AutoModelForAudioClassification.register(SpectrogramNetConfig, SpectrogramNetForAudioClassification)
