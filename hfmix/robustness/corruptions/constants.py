"""The published severities 1 to 5 of each corruption, one set for each image size.

Sources: Hendrycks & Dietterich 2019 (arXiv 1903.12261) and their code, ImageNet-C/create_c: make_cifar_c.py
(32 pixels), make_tinyimagenet_c.py (64), make_imagenet_c.py (224) and make_imagenet_c_inception.py (299).
"""

SEVERITIES = (1, 2, 3, 4, 5)

CONSTANTS: dict[int, dict[str, tuple]] = {
    32: {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.1),
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
        "jpeg_compression": (80, 65, 58, 50, 40),
    },
    64: {
        "gaussian_noise": (0.04, 0.08, 0.12, 0.15, 0.18),
        "impulse_noise": (0.01, 0.02, 0.05, 0.08, 0.14),
        "defocus_blur": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "pixelate": (0.9, 0.8, 0.7, 0.6, 0.5),
        "jpeg_compression": (65, 58, 50, 40, 25),
    },
    224: {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
        "jpeg_compression": (25, 18, 15, 10, 7),
    },
    299: {
        "gaussian_noise": (0.09, 0.13, 0.19, 0.27, 0.4),
        "impulse_noise": (0.04, 0.07, 0.1, 0.18, 0.28),
        "defocus_blur": ((4, 0.1), (5, 0.5), (7, 0.5), (10, 0.5), (12, 0.5)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "pixelate": (0.5, 0.4, 0.3, 0.25, 0.2),
        "jpeg_compression": (23, 16, 13, 8, 5),
    },
}


def constants_for(height: int, width: int) -> int:
    """The parameter set that fits an image of this size: its shorter side below 48, 144 or 262, or above."""
    shorter = min(height, width)
    return 32 if shorter < 48 else 64 if shorter < 144 else 224 if shorter < 262 else 299
