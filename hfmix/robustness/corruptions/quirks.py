"""Where the code that made ImageNet-C does something else than its paper says, and what mode="corrected" does."""

QUIRKS: dict[str, str] = {
    "all": "Grey levels are cut to whole ones, half a level too dark on average; corrected rounds.",
    "glass_blur": (
        "Pixels are copied one way instead of exchanged, offsets never reach +delta, and the smoothed image is "
        "cut to whole levels; corrected exchanges them, uses every offset and rounds."
    ),
    "zoom_blur": (
        "Each zoom is up to half a pixel off the centre and not quite its factor, and floating-point ranges hold "
        "their end point in some severities; corrected zooms exactly and leaves the end out."
    ),
    "snow": "The flakes are enlarged as in zoom_blur and cut to whole levels; corrected zooms exactly and rounds.",
    "frost": (
        "The sixth texture is never drawn, nor the last row and column of any; corrected draws from all of them."
    ),
    "elastic_transform": (
        "Sizes for 224 pixels are multiples of 244, and the affine map reads coordinates rounded to 1/32 pixel; "
        "corrected takes 224 and exact coordinates."
    ),
    "spatter": (
        "Where no drop shines, 0 is divided by 0 and the image turns black; corrected leaves it as it was."
    ),
}
