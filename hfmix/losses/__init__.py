"""Losses for mixed targets."""

from hfmix.losses.balance import balanced_class_weights, balanced_pos_weight
from hfmix.losses.gan import mixup_discriminator_loss
from hfmix.losses.mix_loss import MixLoss
from hfmix.losses.mixed import mixed_binary_cross_entropy, mixed_cross_entropy
from hfmix.losses.row_loss import FocalLoss, RowLoss, mixed_row_loss

__all__ = [
    "FocalLoss",
    "MixLoss",
    "RowLoss",
    "balanced_class_weights",
    "balanced_pos_weight",
    "mixed_binary_cross_entropy",
    "mixed_cross_entropy",
    "mixed_row_loss",
    "mixup_discriminator_loss",
]
