"""Corruptions of images at five severities, reproducible image by image."""

from hfmix.robustness.corruptions.image import CORRUPTIONS, EXTRA_CORRUPTIONS, corrupt
from hfmix.robustness.corruptions.image.constants import QUIRKS, SEVERITIES
from hfmix.robustness.corruptions.image.textures import frost_source

__all__ = ["QUIRKS", "SEVERITIES", "corrupt", "corruption_names", "frost_source"]


def corruption_names(modality: str = "image", extra: bool = False) -> list[str]:
    """Lists the corruptions that `corrupt` knows, in the literature's order.

    Args:
        modality: "image" or "audio".
        extra: include the four that ImageNet-C sets aside for choosing hyperparameters.

    Raises:
        ValueError: an unknown modality.
    """
    if modality == "audio":
        from hfmix.robustness.corruptions.audio import AUDIO  # scipy.signal takes a while to import

        return list(AUDIO)
    if modality != "image":
        raise ValueError(f"there are corruptions for 'image' and 'audio', not for {modality!r}")
    return [*CORRUPTIONS, *(EXTRA_CORRUPTIONS if extra else ())]
