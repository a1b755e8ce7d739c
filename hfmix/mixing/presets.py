"""Policies that mix as other libraries do: the same method, distribution and pairing, under their argument names.

Each function returns an ordinary policy, which `dataclasses.replace` can change. The draws themselves differ,
since no other library takes a key; tests/mixing/test_parity.py gives both the same draw and compares the results.
Where even the distribution differs, the docstring says how.

Policies do not smooth labels: give ``label_smoothing`` to the loss, which equals the other libraries' smoothing of
the labels. timm's default of 0.1 is easily overlooked; here the default is 0.
"""

from hfmix.mixing.policies import CutMix, Mixup, OneOf, Policy, RegMixup
from hfmix.mixing.policies.base import is_number

# timm's names of the granularities
_MODES = {"batch": "batch", "elem": "example", "pair": "pair"}


def timm_mixup(
    mixup_alpha: float = 1.0,
    cutmix_alpha: float = 0.0,
    cutmix_minmax: tuple[float, float] | None = None,
    prob: float = 1.0,
    switch_prob: float = 0.5,
    mode: str = "batch",
    correct_lam: bool = True,
) -> Policy:
    """Returns ``timm.data.Mixup`` as a policy: mixup, CutMix or both, each row mixed with its mirror image.

    Any batch size works, while timm refuses odd ones: the middle row is its own partner and stays as it is.
    Boxes are rounded as in timm 1.0.31; a timm that cuts ``cut_h // 2`` to either side loses odd pixels, see
    `official_cutmix`. With `cutmix_minmax` the largest size is drawn too, which timm leaves out: NumPy's
    ``randint`` excludes it.

    Args:
        mixup_alpha: α of mixup's λ ~ Beta(α, α); 0 for CutMix alone.
        cutmix_alpha: α of CutMix's λ; 0 for mixup alone.
        cutmix_minmax: the range of each side's share; it turns CutMix on for any α.
        prob: the probability that a batch, an example or a pair is mixed.
        switch_prob: the probability of CutMix where both are on.
        mode: what shares a draw: "batch", "elem" or "pair".
        correct_lam: labels follow the box as it was clipped, as they always do with `cutmix_minmax`.

    Raises:
        ValueError: neither method is on, or an argument is out of range.
    """
    if mode not in _MODES:
        raise ValueError(f"timm_mixup: mode is one of {', '.join(_MODES)}, not {mode!r}")
    for setting, value in (("mixup_alpha", mixup_alpha), ("cutmix_alpha", cutmix_alpha)):
        if not is_number(value) or value < 0:
            raise ValueError(f"timm_mixup: {setting} is a finite number, at least 0, not {value!r}")
    for setting, value in (("prob", prob), ("switch_prob", switch_prob)):
        if not is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"timm_mixup: {setting} is a number in [0, 1], not {value!r}")
    shared = {"p": prob, "granularity": _MODES[mode], "pairing": "reversal"}
    policies = []
    if mixup_alpha > 0:
        policies.append(Mixup(mixup_alpha, **shared))
    if cutmix_minmax is not None:
        policies.append(CutMix(1.0, **shared, minmax=cutmix_minmax))
    elif cutmix_alpha > 0:
        policies.append(CutMix(cutmix_alpha, **shared, correct_lambda=correct_lam))
    if not policies:
        raise ValueError("timm_mixup: one of mixup_alpha and cutmix_alpha is above 0, or cutmix_minmax is given")
    if len(policies) == 1:
        return policies[0]
    return OneOf(policies, weights=(1.0 - switch_prob, switch_prob), granularity=_MODES[mode])


def torchvision_mixup(alpha: float = 1.0) -> Mixup:
    """Returns ``torchvision.transforms.v2.MixUp`` as a policy: one λ a batch, each row mixed with the one before.

    torchvision draws λ in float32, at most 1 − 2⁻²⁴; here it is drawn in float64.
    """
    return Mixup(alpha, pairing="roll")


def torchvision_cutmix(alpha: float = 1.0) -> CutMix:
    """Returns ``torchvision.transforms.v2.CutMix`` as a policy: one box a batch, cut from the row before.

    torchvision reaches ⌊√(1−λ)·size/2⌋ pixels to either side of the centre, an even size; here the box has
    ⌊√(1−λ)·size⌋ pixels before it is clipped, one more half of the time. Labels follow the pixels in both.
    """
    return CutMix(alpha, pairing="roll")


def official_mixup(alpha: float = 1.0) -> Mixup:
    """Returns the policy of mixup's official code, facebookresearch/mixup-cifar10: one λ and permutation a batch.

    λ and partners have the same distribution. The code's α = 0 mixes nothing: use `ERM` for it.
    """
    return Mixup(alpha)


def official_regmixup(alpha: float = 20.0) -> RegMixup:
    """Returns the policy of RegMixup's official code, FrancescoPinto/RegMixup: the mean of clean and mixed losses.

    Clean and mixed rows form one batch. λ, partners and loss are those of the code, with its Beta(20, 20); the
    paper uses 10 for CIFAR-100.
    """
    return RegMixup(alpha, eta=1.0, reduction="mean")


def official_cutmix(alpha: float = 1.0, prob: float = 1.0) -> CutMix:
    """Returns the policy of CutMix's official code, clovaai/CutMix-PyTorch: one box and permutation a batch.

    The code cuts ⌊size⌋ // 2 pixels to either side of the centre, where size = √(1−λ) of the side, so that an odd
    one loses a pixel; here the box keeps it until it is clipped. Labels follow the pixels in both.

    Args:
        alpha: α of λ ~ Beta(α, α), the code's ``--beta``.
        prob: the probability that a batch is mixed, the code's ``--cutmix_prob``: .5 on CIFAR in the paper's
            commands, 1 on ImageNet.
    """
    return CutMix(alpha, p=prob)
