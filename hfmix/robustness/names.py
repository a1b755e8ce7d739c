"""Names of axes, attacks and norms, cheap to import for the command line."""

DEFAULT_AXES = ("clean", "calibration", "selective", "corruptions", "shift", "ood")
# those that take gradients, or training data with known wrong labels, are measured when they are asked for
AXES = (*DEFAULT_AXES, "adversarial", "interpolation", "memorization")
# from the weakest to the strongest
ATTACK_NAMES = {"fgsm": "FGSM", "ifgsm": "I-FGSM", "pgd": "PGD", "autoattack": "AutoAttack"}
NORM_NAMES = {"linf": "L∞", "l2": "L2"}


def eps_name(eps: float) -> str:
    """Returns a radius as a key: "0.3", or "8_of_255" for whole and half 8-bit levels without a short decimal."""
    halves = 510 * eps
    if float(f"{eps:g}") != eps and abs(halves - round(halves)) < 1e-9:
        return f"{round(halves) / 2:g}_of_255"
    return f"{eps:g}"
