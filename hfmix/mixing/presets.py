"""The policies that equal a peer's mixing: the same method, distribution and pairing, under the peer's names.

What each returns is a policy like any other, to be changed with `dataclasses.replace`. The draws themselves
differ, since no peer takes a key; tests/mixing/test_parity.py gives both the same draw and compares what comes
out. Where even the distribution differs, the docstring says how.

Label smoothing is not a policy's business here: give it to the loss (``label_smoothing``), where it equals what a
peer does to the labels. timm's default of 0.1 is easily overlooked: here it is 0 until it is asked for.
"""

from hfmix.mixing.policies import CutMix, Mixup, OneOf, Policy, RegMixup
from hfmix.mixing.policies.base import is_number

# timm's names of what shares one draw
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
    """``timm.data.Mixup`` with these arguments: mixup, CutMix or both, each row mixed with the mirrored one.

    Any batch size works, where timm refuses odd ones: the row in the middle is its own partner and stays as it is.
    Boxes are rounded as in timm 1.0.31; a timm that cuts ``cut_h // 2`` to either side loses odd pixels, see
    `official_cutmix`. With `cutmix_minmax` the largest size is drawn too, which timm leaves out: NumPy's
    ``randint`` excludes it.

    Args:
        mixup_alpha: α of mixup's λ ~ Beta(α, α); 0 for CutMix alone.
        cutmix_alpha: α of CutMix's; 0 for mixup alone.
        cutmix_minmax: the range of each side's share; CutMix is on then, whatever its α.
        prob: the probability that a batch, an example or a pair is mixed.
        switch_prob: the probability of CutMix where both are on.
        mode: what shares a draw: "batch", "elem" or "pair".
        correct_lam: labels follow the box as it was clipped, as they always do with `cutmix_minmax`.

    Raises:
        ValueError: neither method is on, or an argument means nothing.
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
    """``torchvision.transforms.v2.MixUp``: one λ a batch, each row mixed with the one before it.

    torchvision draws λ in float32, at most 1 − 2⁻²⁴; here it is drawn in float64.
    """
    return Mixup(alpha, pairing="roll")


def torchvision_cutmix(alpha: float = 1.0) -> CutMix:
    """``torchvision.transforms.v2.CutMix``: one box a batch, cut from the row before.

    torchvision reaches ⌊√(1−λ)·size/2⌋ pixels to either side of the centre, an even size; here the box has
    ⌊√(1−λ)·size⌋ pixels before it is clipped, one more half of the time. Labels follow the pixels in both.
    """
    return CutMix(alpha, pairing="roll")


def official_mixup(alpha: float = 1.0) -> Mixup:
    """The mixup paper's code, facebookresearch/mixup-cifar10: one λ a batch and a random permutation.

    λ and partners have the same distribution; for the code's α = 0, which mixes nothing, take `ERM`.
    """
    return Mixup(alpha)


def official_regmixup(alpha: float = 20.0) -> RegMixup:
    """RegMixup's code, FrancescoPinto/RegMixup: clean and mixed rows in one batch, the mean of both losses.

    λ, partners and loss are those of the code, with its Beta(20, 20); the paper takes 10 for CIFAR-100.
    """
    return RegMixup(alpha, eta=1.0, reduction="mean")


def official_cutmix(alpha: float = 1.0, prob: float = 1.0) -> CutMix:
    """CutMix's code, clovaai/CutMix-PyTorch: one box a batch and a random permutation.

    The code cuts ⌊size⌋ // 2 pixels to either side of the centre, where size = √(1−λ) of the side, so that an odd
    one loses a pixel; here the box keeps it until it is clipped. Labels follow the pixels in both.

    Args:
        alpha: α of λ ~ Beta(α, α), the code's ``--beta``.
        prob: the probability that a batch is mixed, the code's ``--cutmix_prob``: .5 on CIFAR in the paper's
            commands, 1 on ImageNet.
    """
    return CutMix(alpha, p=prob)
