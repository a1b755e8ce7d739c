"""Names of axes, attacks and norms, cheap to import for the command line."""

DEFAULT_AXES = ("clean", "calibration", "selective", "corruptions", "shift", "ood")
# those that take gradients, or training data with known wrong labels, are measured when they are asked for
AXES = (*DEFAULT_AXES, "adversarial", "interpolation", "memorization")
# from the weakest to the strongest
ATTACK_NAMES = {"fgsm": "FGSM", "ifgsm": "I-FGSM", "pgd": "PGD", "autoattack": "AutoAttack"}
NORM_NAMES = {"linf": "L∞", "l2": "L2"}
