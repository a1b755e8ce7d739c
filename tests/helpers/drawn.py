"""Random policies, batches and layouts of memory for property tests, and what a plan does, written out slowly."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from hypothesis import strategies as st

from hfmix import (
    ERM,
    CutMix,
    DirichletMixup,
    InputMixup,
    ManifoldMixup,
    MixPlan,
    Mixup,
    OneOf,
    Policy,
    RegMixup,
    ResizeMix,
    Schedule,
    TimeCutMix,
)
from hfmix.mixing import keyed_generator
from hfmix.mixing.policies import POLICIES
from hfmix.mixing.policies.pairing import PAIRINGS

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
ALL_DTYPES = (*FLOATS, torch.uint8)
LAYOUTS = ("contiguous", "channels_last", "batch_last", "transposed", "strided")

numbers = st.floats(0.05, 30)
shares = st.sampled_from([0.0, 0.3, 0.5, 1.0])
schedules = st.builds(
    lambda at, values: Schedule(tuple(zip(sorted(at), values, strict=True))),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
ranges = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: tuple(sorted(pair)))


@st.composite
def pair_settings(draw) -> dict:
    granularity = draw(st.sampled_from(["batch", "example", "pair"]))
    pairing = "reversal" if granularity == "pair" else draw(st.sampled_from(list(PAIRINGS)))
    return {
        "alpha": draw(numbers | schedules),
        "p": draw(shares | schedules),
        "granularity": granularity,
        "pairing": pairing,
    }


@st.composite
def policies(draw, dims: int, only_boxes: bool = False, depth: int = 1) -> Policy:
    """Any policy for examples of so many dimensions; with `only_boxes` one that moves values, mixing none."""
    settings = draw(pair_settings())
    box_kinds = ["time_cutmix"] * (dims > 0) + ["cutmix", "resizemix"] * (dims > 1)
    value_kinds = ["mixup", "input_mixup", "manifold_mixup", "dirichlet_mixup", "regmixup", "one_of"]
    kind = draw(st.sampled_from(["erm", *box_kinds, *([] if only_boxes else value_kinds[: 5 + depth])]))
    if kind == "erm":
        return ERM()
    if kind == "cutmix":
        return CutMix(**settings, minmax=draw(st.none() | ranges), correct_lambda=draw(st.booleans()))
    if kind == "resizemix":
        return ResizeMix(**settings, scale=draw(ranges))
    if kind == "time_cutmix":
        return TimeCutMix(**settings, axis=draw(st.sampled_from([a for a in range(-dims, dims + 1) if a])))
    if kind == "manifold_mixup":
        return ManifoldMixup(**settings, layers=draw(st.sampled_from([("input",), ("input", "layer1"), ("a.b",)])))
    if kind == "dirichlet_mixup":
        own = {"granularity": draw(st.sampled_from(["batch", "example"])), "k": draw(st.integers(2, 4))}
        return DirichletMixup(**{name: settings[name] for name in ("alpha", "p")}, **own)
    if kind == "regmixup":
        base = CutMix if dims > 1 and draw(st.booleans()) else Mixup
        reduction, ratio = draw(st.sampled_from(["mean", "sum"])), draw(st.sampled_from([0.1, 0.5, 0.75, 1.0]))
        return RegMixup(base=base(**settings), eta=draw(numbers), reduction=reduction, ratio=ratio)
    if kind == "one_of":
        return draw(switches(dims, depth))
    return {"mixup": Mixup, "input_mixup": InputMixup}[kind](**settings)


@st.composite
def switches(draw, dims: int, depth: int) -> OneOf:
    if draw(st.booleans()):
        members = draw(st.lists(policies(dims, depth=depth - 1), min_size=1, max_size=3))
        weights = draw(st.none() | st.tuples(*[st.sampled_from([0.5, 1, 3.0])] * len(members)))
        return OneOf(members, weights, granularity="batch")
    settings = draw(pair_settings())
    members = [ERM(), Mixup(**settings), *([CutMix(**settings)] if dims > 1 else [])]
    if settings["pairing"] == "reversal":
        return OneOf(members, granularity="pair")
    return OneOf([*members, DirichletMixup(k=3)], granularity="example")


@dataclass
class Case:
    """One random batch with a plan drawn for it."""

    policy: Policy
    x: torch.Tensor
    labels: torch.Tensor
    progress: float
    key: int

    def plan(self, key: int | None = None) -> MixPlan:
        return self.policy.sample(
            len(self.x),
            self.x.shape[1:],
            keyed_generator(self.key if key is None else key),
            labels=self.labels,
            inputs=self.x,
            progress=self.progress,
        )


@st.composite
def cases(draw, dtypes=ALL_DTYPES, only_boxes: bool = False) -> Case:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=0 if not only_boxes else 1, max_size=4)))
    policy, n, key = draw(policies(len(shape), only_boxes)), draw(st.integers(1, 9)), draw(st.integers(0, 99))
    generator = torch.Generator().manual_seed(key)
    dtype = draw(st.sampled_from(dtypes))
    x = laid_out(random_values((n, *shape), dtype, generator), draw(st.sampled_from(LAYOUTS)))
    labels = torch.randint(3, (n,), generator=generator)
    return Case(policy, x, labels, draw(st.sampled_from([0.0, 0.4, 1.0])), key)


def random_values(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    if dtype.is_floating_point:
        return (torch.randn(shape, generator=generator) * 3).to(dtype)
    high = {torch.uint8: 256, torch.bool: 2}.get(dtype, 2**40)
    return torch.randint(high, shape, generator=generator).to(dtype)


def laid_out(x: torch.Tensor, layout: str) -> torch.Tensor:
    """The same values, otherwise in memory; as they are where the layout needs more dimensions."""
    if layout == "channels_last" and x.ndim in (4, 5):
        return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
    if layout == "batch_last" and x.ndim > 1:
        return x.movedim(0, -1).contiguous().movedim(-1, 0)
    if layout == "transposed" and x.ndim > 2:
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "strided":
        wide = x.new_zeros([2 * size for size in x.shape])
        inner = wide[tuple(slice(None, None, 2) for _ in x.shape)]
        return inner.copy_(x)
    return x


def reference(x: torch.Tensor, plan: MixPlan) -> np.ndarray:
    """What a plan makes of `x`, row by row and pixel by pixel, in float64, not rounded; integers stay integers."""
    values = (x.double() if x.is_floating_point() or x.dtype == torch.uint8 else x).numpy()
    rows = []
    for r, sources in enumerate(plan.source.tolist()):
        weights = plan.weight[r].double().tolist()
        box = None if plan.box is None else plan.box[r].tolist()
        if box is not None and all(stop > start for start, stop in zip(*np.split(np.array(box), 2), strict=True)):
            rows.append(cut(values[sources[0]], values[sources[1]], box, plan))
        elif values.dtype == np.float64:
            rows.append(sum(w * values[i] for w, i in zip(weights, sources, strict=True)))
        else:
            rows.append(values[sources[weights.index(1.0)]])
    return np.stack(rows)


def cut(row: np.ndarray, partner: np.ndarray, box: list[int], plan: MixPlan) -> np.ndarray:
    row, dims = row.copy(), len(plan.box_axes)
    axes = [axis if axis < 0 else axis - 1 for axis in plan.box_axes]
    for pixel in product(*(range(box[d], box[d + dims]) for d in range(dims))):
        into, source = [slice(None)] * row.ndim, [slice(None)] * row.ndim
        for d, (axis, at) in enumerate(zip(axes, pixel, strict=True)):
            into[axis] = source[axis] = at
            if plan.resize:
                source[axis] = (at - box[d]) * row.shape[axis] // (box[d + dims] - box[d])
        row[tuple(into)] = partner[tuple(source)]
    return row


def assert_reference(actual: torch.Tensor, x: torch.Tensor, plan: MixPlan) -> None:
    """Within half a last place of the reference, beside float32's own rounding; exact for integers."""
    exact = reference(x, plan)
    assert actual.dtype == x.dtype and tuple(actual.shape) == exact.shape
    if exact.dtype != np.float64:
        assert np.array_equal(actual.numpy(), exact)
        return
    if x.dtype == torch.uint8:
        allowed = 0.5 + 1e-4
    else:
        place = torch.finfo(x.dtype).eps if x.element_size() == 2 else 0.0
        allowed = 0.5 * place * np.abs(exact) + 3e-7 * max(1.0, x.double().abs().max().item())
    assert (np.abs(actual.double().detach().numpy() - exact) <= allowed).all()


def draw_all(*key: int) -> str:
    """One plan of each kind under this key, written out to the last bit."""
    shared = {"pairing": "reversal", "granularity": "pair"}
    members = (Mixup(**shared), CutMix(**shared))
    switches = [OneOf(members, granularity=granularity) for granularity in ("batch", "example", "pair")]
    plans = [
        policy.sample(9, (3, 12, 10), keyed_generator(*key))
        for policy in [*(POLICIES[name]() for name in POLICIES if name != OneOf.name), *switches]
    ]
    tensors = [[p.source, p.weight, p.label_weight, p.row_weight, p.box] for p in plans]
    return repr([[None if t is None else t.tolist() for t in of_plan] for of_plan in tensors])
