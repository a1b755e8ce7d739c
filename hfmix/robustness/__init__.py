"""How a trained classifier holds up: the suite, its axes, its report and its figures."""

DEFAULT_AXES = ("clean", "calibration", "selective", "corruptions", "shift", "ood")
# those that take gradients, or training data with known wrong labels, are measured when they are asked for
AXES = (*DEFAULT_AXES, "adversarial", "interpolation", "memorization")
