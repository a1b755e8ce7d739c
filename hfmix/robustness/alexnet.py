"""The published errors of AlexNet on ImageNet-C, the unit of the mean corruption error.

Error rates of torchvision's pretrained AlexNet at 224 pixels, averaged over the five severities, from the authors'
repository (hendrycks/robustness, ImageNet-C/test.py); AugMix and mmpretrain carry the same list.
"""

ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
# top-1 on the clean validation set (Hendrycks & Dietterich 2019, table 1: 43.5 %)
ALEXNET_CLEAN_ERROR = 0.435
