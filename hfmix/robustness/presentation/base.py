"""What each name in a report stands for, in words."""

# name to unit ("%" for what lies in [0, 1]) and convention
CONVENTIONS: dict[str, tuple[str, str]] = {
    "accuracy": ("%", "share of the examples whose largest logit is the label's; Wilson's interval"),
    "top5_accuracy": (
        "%",
        "share of the examples whose label is among the five largest logits; Wilson's interval",
    ),
    "mean_average_precision": ("%", "mean over the classes of the average precision of finding their examples"),
    "nll": ("", "mean negative log-likelihood of the label, in nats"),
    "ece_15": ("%", "expected calibration error of the largest probability, 15 equal-width bins (lo, hi]"),
    "adaptive_ece_15": ("%", "the same with 15 bins of equal mass"),
    "classwise_ece_15": ("%", "the mean over the classes of the calibration error of their probability, 15 bins"),
    "brier": ("", "squared distance of the probabilities to the label's, summed over the classes, from 0 to 2"),
    "mean_confidence": ("%", "mean of the largest probability"),
    "aurc": ("%", "area under the risk–coverage curve: the error rate, averaged over all coverages"),
    "e_aurc": ("%", "what AURC exceeds that of a perfect ranking with as many errors by"),
    "risk_at_coverage_80": ("%", "error rate among the 80 % most confident examples"),
    "risk_at_coverage_90": ("%", "error rate among the 90 % most confident examples"),
    "risk_at_coverage_95": ("%", "error rate among the 95 % most confident examples"),
    "mean_accuracy": ("%", "accuracy, the mean over all corruptions and severities; examples resampled whole"),
    "mean_ece_15": ("%", "calibration error of each corruption and severity, averaged"),
    "mean_nll": ("", "negative log-likelihood in nats, the mean over all corruptions and severities"),
    "mean_accuracy_by_severity": ("%", "accuracy, the mean over all corruptions"),
    "mce_alexnet": ("%", "mean corruption error: errors over AlexNet's, by corruption, averaged"),
    "relative_mce_alexnet": ("%", "the same for what corruption adds to the clean error"),
    "auroc": ("%", "probability that a test example scores higher than an OOD one, ties counted half"),
    "aupr_in": ("%", "average precision of finding the test set by high scores"),
    "aupr_out": ("%", "average precision of finding OOD input by low scores"),
    "fpr95_ood_positive": ("%", "share of the test set that is flagged when 95 % of the OOD input is"),
    "fpr95_id_positive": ("%", "share of the OOD input that is accepted when 95 % of the test set is"),
    "miss_rate": (
        "%",
        "share of the mixtures λx + (1−λ)x' of two examples that are predicted as neither's class, the mean over "
        "pairs and the λ between 0 and 1; pairs resampled",
    ),
    "miss_rate_at_half": ("%", "the same at λ = 1/2; Wilson's interval"),
    "miss_rate_of_different_classes": ("%", "miss rate of the pairs of two classes"),
    "miss_rate_of_same_class": ("%", "miss rate of the pairs of one class"),
    "gradient_norm": (
        "",
        "Frobenius norm of the Jacobian of the logits with respect to the input, at the same mixtures",
    ),
    "gradient_norm_at_half": ("", "the same at λ = 1/2"),
    "entropy_between": ("", "entropy of the probabilities in nats, at the same mixtures"),
    "entropy_at_half": ("", "the same at λ = 1/2"),
    "cross_entropy_between": ("", "cross-entropy to the mixed label λy + (1−λ)y' in nats, at the same mixtures"),
    "cross_entropy_at_half": ("", "the same at λ = 1/2"),
    "robust_accuracy": (
        "%",
        "share of the examples that are right and stay so under this attack within this radius, a weaker attack "
        "or a smaller radius; Wilson's interval",
    ),
    "snr_db": ("dB", "how far below the clip the perturbation lies: mean over the clips attacked so"),
    "train_error_true_labels": ("%", "error on the training examples whose label is true; Wilson's interval"),
    "train_error_wrong_labels": (
        "%",
        "error against the label trained on, of the training examples whose label is wrong: low where they were "
        "learnt by heart",
    ),
    "train_error_wrong_labels_against_truth": ("%", "error of the same examples against their true class"),
    "best_test_error": (
        "%",
        "lowest test error of all epochs: selected on the test set, no estimate of generalisation",
    ),
    "last_test_error": ("%", "test error at the end of training; Wilson's interval"),
}


def convention_of(path: str) -> str | None:
    """The name in `CONVENTIONS` that a path of `RobustnessReport.estimates` ends in, or falls under."""
    return next((part for part in reversed(path.split("/")) if part in CONVENTIONS), None)
