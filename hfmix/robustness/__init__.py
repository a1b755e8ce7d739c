"""How a trained classifier holds up: the suite, its axes, its report and its figures."""

AXES = ("clean", "calibration", "selective", "corruptions", "shift", "ood")
