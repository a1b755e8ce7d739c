"""Nets that the papers used and timm lacks. Importing this module registers them with timm."""

from hfmix.models.resnet_cifar import resnet20_cifar, resnet50_cifar

__all__ = [
    "resnet20_cifar",
    "resnet50_cifar",
]
