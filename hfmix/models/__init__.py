"""The papers' nets that timm lacks; importing this module registers them with timm and transformers."""

from hfmix.models.nets.airbench import airbench96_cifar, airbench_cifar
from hfmix.models.nets.densenet_bc import densenet_bc_190
from hfmix.models.nets.preact_resnet import preact_resnet18, preact_resnet18_mixup
from hfmix.models.nets.resnet_cifar import resnet20_cifar, resnet50_cifar
from hfmix.models.nets.spectrogram import lenet_audio, vgg11_audio
from hfmix.models.nets.table import mlp_table
from hfmix.models.nets.wide_resnet import wrn16_4, wrn28_10
from hfmix.models.transformers_models import SpectrogramNetConfig, SpectrogramNetForAudioClassification

__all__ = [
    "SpectrogramNetConfig",
    "SpectrogramNetForAudioClassification",
    "airbench96_cifar",
    "airbench_cifar",
    "densenet_bc_190",
    "lenet_audio",
    "mlp_table",
    "preact_resnet18",
    "preact_resnet18_mixup",
    "resnet20_cifar",
    "resnet50_cifar",
    "vgg11_audio",
    "wrn16_4",
    "wrn28_10",
]
