"""Losses of mixed targets."""

from hfmix.losses.gan import mixup_discriminator_loss
from hfmix.losses.mix_loss import MixLoss
from hfmix.losses.mixed import mixed_binary_cross_entropy, mixed_cross_entropy

__all__ = ["MixLoss", "mixed_binary_cross_entropy", "mixed_cross_entropy", "mixup_discriminator_loss"]
