"""The interpolation axis: a model along the lines between random pairs of examples, where mixup trains it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from hfmix.data.kinds.base import Preprocessor
from hfmix.data.kinds.image import ImagePreprocessor
from hfmix.data.labelled import LabelledData
from hfmix.losses import mixed_cross_entropy
from hfmix.metrics import bootstrap_interval, wilson_interval
from hfmix.metrics.intervals import bootstrap_counts, interval_of_draws
from hfmix.mixing import MixPlan
from hfmix.mixing.inputs import mixed_inputs
from hfmix.mixing.policies.pairs import to_weights
from hfmix.robustness.axes.base import Axis, ClaimedReport, Context, Measured, Request
from hfmix.robustness.axes.jacobian import MAX_DIRECTIONS, directions_of, jacobian_norm
from hfmix.robustness.estimates import estimate, proportion
from hfmix.robustness.inference.runner import Runner
from hfmix.utils.model_calls import call_model, input_gradients

_MEASURED = ("gradient_norm", "entropy", "cross_entropy")


@dataclass(frozen=True)
class Interpolation(Axis):
    """The model along the lines between random pairs of examples.

    Attributes:
        pairs: how many pairs.
        data: the examples to draw the pairs from: training data, as in mixup's paper, or the test set.
    """

    pairs: int
    data: LabelledData

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs is a whole number from 1, not {self.pairs}")

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls(
            request["pairs"], request.test if request.reference is None else _truly_labelled(request.reference)
        )

    def unavailable(self, context: Context) -> str | None:
        """See `Axis.unavailable`; a try on one pair tells."""
        trial, some = context.trial(), self.data.select(np.arange(min(len(self.data), 2)))
        try:
            interpolation_axis(trial.runner, some, 1, 0, trial.bar, steps=3)
        except ValueError as error:
            return str(error)
        return None

    def passes(self, context: Context) -> int:
        return self.pairs * passes(len(context.test.class_names))

    def measure(self, context: Context) -> Measured:
        return Measured(*interpolation_axis(context.runner, self.data, self.pairs, context.seed, context.bar))

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self | None:
        claimed = claim.axes["interpolation"]
        if claimed.get("data", "test") == "test":
            return cls(claimed["num_pairs"], claim.test)
        train = claim.reference()
        if train is None:
            claim.unknown["interpolation"] = "its training data is not given (--reference)"
            return None
        return cls(claimed["num_pairs"], _truly_labelled(train))


def interpolation_axis(
    runner: Runner, data: LabelledData, pairs: int, seed: int, bar: tqdm, steps: int = 11
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measures a model at λx_i + (1−λ)x_j, for random pairs of examples and λ from 0 to 1.

    - ``miss_rate``: the share of predictions that are neither y_i nor y_j (mixup, arXiv 1710.09412, figure 2a);
      also separately for pairs of different classes and of the same class, where there are any.
    - ``gradient_norm``: the Frobenius norm of the Jacobian of the logits with respect to the input (figure 2b,
      which does not say which norm it shows). Exact for up to ten classes, else estimated from ten random
      directions (`jacobian_norm`). For images it refers to the input on [0, 1] if the processor tells its
      normalisation, else to the model's input; ``gradient`` says which.
    - ``entropy_between``: of the predicted probabilities, in nats (RegMixup, arXiv 2206.14502, finds that mixup
      raises it).
    - ``cross_entropy_between``: against λy_i + (1−λ)y_j, in nats.

    Inputs are mixed as in training, after the processor. An estimate is the mean over the pairs and over the λ
    between the ends; one named ``…_at_half`` is the mean over the pairs at λ = 1/2; ``curves`` holds the means at
    each λ. Intervals are over pairs: Wilson's for the misses at one λ, else the bootstrap's.

    Args:
        runner: the model with its preprocessor. A pass keeps its graph and takes more memory than in other axes.
        data: N examples, from which `draw_pairs` draws: training data, as in the paper, or test data.
        pairs: P, the number of pairs.
        seed: seed of the pairs, the directions and the bootstrap.
        bar: moves by `passes` per pair.
        steps: L, the number of λ, evenly spaced from 0 to 1; odd.

    Returns:
        The axis; and for each pair, for comparison with another model on the same data and seed:
        ``between/miss``, ``between/gradient_norm``, ``between/entropy`` and ``between/cross_entropy``, (P,), the
        means over the λ between the ends, and ``pair_rows``, (P, 2), the rows of the data set.

    Raises:
        ValueError: inputs that cannot be mixed (integers, clips of different lengths for a model that takes no
            mask), a model without gradients, examples of several classes, fewer than two examples, or an
            impossible number of pairs or steps.
    """
    _check(data, pairs, steps)
    positions = draw_pairs(len(data), pairs, seed)
    first, second = data.select(positions[:, 0]), data.select(positions[:, 1])
    one = runner.preprocessor.inputs([first.example(0)])
    main = _main_input(runner.model, one)
    num_classes = _num_classes(runner, one)
    lam = np.arange(steps) / (steps - 1)
    measured = _measure(runner, first, second, main, num_classes, seed, lam, bar)

    same = first.labels == second.labels
    misses = {
        "miss_rate": measured["miss"],
        "miss_rate_of_different_classes": measured["miss"][~same],
        "miss_rate_of_same_class": measured["miss"][same],
    }
    misses = {name: values for name, values in misses.items() if len(values)}
    others = {
        "gradient_norm": (measured["gradient_norm"], np.inf),
        "entropy_between": (measured["entropy"], np.log(num_classes)),
        "cross_entropy_between": (measured["cross_entropy"], np.inf),
    }
    axis: dict[str, Any] = {
        "data": data.name,
        "fingerprint_sha256": hashlib.sha256(measured["digest"].tobytes()).hexdigest(),
        "num_pairs": pairs,
        "gradient": _gradient_in_words(runner.preprocessor, main, num_classes),
    }
    axis |= {name: _share(_between(values), seed) for name, values in misses.items()}
    axis["miss_rate_at_half"] = proportion(measured["miss"][:, steps // 2])
    curves: dict[str, Any] = {"lambda": lam.tolist()}
    curves |= {name: _curve_of([proportion(column) for column in values.T]) for name, values in misses.items()}
    for name, (values, highest) in others.items():
        at_each = _means(values, (0, highest), seed)
        (axis[name],) = _means(_between(values)[:, None], (0, highest), seed)
        axis[f"{name.removesuffix('_between')}_at_half"] = at_each[steps // 2]
        curves[name] = _curve_of(at_each)
    by_pair = {f"between/{name}": _between(measured[name]) for name in ("miss", *_MEASURED)}
    return {**axis, "curves": curves}, {**by_pair, "pair_rows": data.rows[positions].astype(np.int64)}


def passes(num_classes: int, steps: int = 11) -> int:
    """Returns the cost of a pair in forward passes; a backward pass to the input costs about as much."""
    return steps * (1 + min(num_classes, MAX_DIRECTIONS))


def draw_pairs(num_examples: int, pairs: int, seed: int) -> np.ndarray:
    """Draws (P, 2) int64 positions of two different examples each, uniformly at random.

    Pairs are taken from a random order of all N examples, so that no example is in two of the first N // 2 pairs;
    further pairs come from further orders. A smaller number of pairs gives the first of a larger one.
    """
    rng = np.random.default_rng(seed)
    each = num_examples // 2
    orders = [rng.permutation(num_examples)[: 2 * each].reshape(each, 2) for _ in range(-(-pairs // each))]
    return np.concatenate(orders)[:pairs]


def _measure(
    runner: Runner,
    first: LabelledData,
    second: LabelledData,
    main: str,
    num_classes: int,
    seed: int,
    lam: np.ndarray,
    bar: tqdm,
) -> dict[str, np.ndarray]:
    """Computes ``miss`` and `_MEASURED` by pair and λ, (P, L), and a pair's ``digest``, (P, 32)."""
    scale = _derivative_scale(runner.preprocessor, main)
    scale = None if scale is None else scale.to(runner.device)

    def prepare(start: int, examples: Sequence[Any]) -> tuple[dict[str, Tensor], np.ndarray]:
        rows = range(start, start + len(examples))
        partners = [second.example(row) for row in rows]
        digests = [
            hashlib.sha256(
                first.labels[row].tobytes()
                + second.labels[row].tobytes()
                + first.cells.content(example)
                + second.cells.content(partner)
            ).digest()
            for row, example, partner in zip(rows, examples, partners, strict=True)
        ]
        inputs = _inputs_of(runner.preprocessor, [*examples, *partners])
        return inputs, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)

    def batch(
        start: int, examples: Sequence[Any], prepared: tuple[dict[str, Tensor], np.ndarray]
    ) -> dict[str, np.ndarray]:
        inputs, digests = prepared
        inputs = {name: value.to(runner.device) for name, value in inputs.items()}
        pairs = slice(start, start + len(examples))
        labels = torch.from_numpy(np.concatenate([first.labels[pairs], second.labels[pairs]]))
        directions = directions_of(num_classes, seed, start, len(examples)).to(runner.device)
        at_once = max(1, runner.batch_size // len(examples))
        parts: list[dict[str, np.ndarray]] = []
        with input_gradients(runner.model):
            for begin in range(0, len(lam), at_once):
                plan = _plan(len(examples), lam[begin : begin + at_once])
                mixed = mixed_inputs(plan, inputs, main)
                mixed[main] = mixed[main].detach().requires_grad_()
                logits = call_model(runner.model, mixed)
                repeated = directions.repeat(plan.num_rows // len(examples), 1, 1)
                norm = jacobian_norm(logits, mixed[main], repeated, scale)
                rows = {
                    "gradient_norm": norm.cpu().double(),
                    **_of_logits(logits.detach().cpu().double(), plan, labels),
                }
                parts.append({name: row.numpy().reshape(-1, len(examples)).T for name, row in rows.items()})
                bar.update(plan.num_rows * (1 + directions.shape[1]))
        return {
            "digest": digests,
            **{name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]},
        }

    # with the first examples, identifies the pairs in the cache
    partners = hashlib.sha256(second.rows.tobytes() + second.labels.tobytes()).hexdigest()[:8]
    rows = runner.rows(first, f"interpolation-{seed}-{len(lam)}-{partners}", prepare, batch, bar, count=False)
    return {**rows, "miss": rows["miss"].astype(bool)}


def _of_logits(logits: Tensor, plan: MixPlan, labels: Tensor) -> dict[str, Tensor]:
    """Computes ``miss``, ``entropy`` and ``cross_entropy``, (R,) each, from (R, C) logits and (2B,) labels."""
    targets = plan.targets(labels)
    return {
        "miss": (logits.argmax(1, keepdim=True) != targets.labels).all(1).to(torch.uint8),
        "entropy": torch.special.entr(logits.softmax(1)).sum(1),
        "cross_entropy": mixed_cross_entropy(logits, targets, reduction="none"),
    }


def _plan(pairs: int, lam: np.ndarray) -> MixPlan:
    """Returns the plan that mixes B examples with the B partners after them, for each λ in turn."""
    own = torch.arange(pairs)
    source = torch.stack([own, own + pairs], 1).repeat(len(lam), 1)
    weight = to_weights(np.repeat(np.stack([lam, 1.0 - lam], 1), pairs, axis=0))
    return MixPlan(source, weight, weight, torch.ones(len(weight)), 2 * pairs)


def _inputs_of(preprocessor: Preprocessor, examples: Sequence[Any]) -> dict[str, Tensor]:
    """Returns the model's inputs; the two of a pair have one length, unless a mask marks the padding."""
    inputs = preprocessor.inputs(examples)
    if preprocessor.max_batch_size == 1:
        rows = [preprocessor.features(example) for example in examples]
        lengths = sorted({len(value) for row in rows for value in row.values()})
        if len(lengths) > 1:
            raise ValueError(
                f"clips of {lengths[0]} and {lengths[-1]} samples have no mixture for a model that takes no mask "
                f"of the padding: bring all clips to one length"
            )
    return inputs


def _main_input(model: nn.Module, inputs: Mapping[str, Tensor]) -> str:
    """Returns the name of the input that is mixed and differentiated."""
    name = getattr(model, "main_input_name", None)
    name = name if name in inputs else next(iter(inputs))
    if not inputs[name].is_floating_point():
        raise ValueError(f"the model's {name} are integers ({inputs[name].dtype}), which have no mixture")
    return name


def _num_classes(runner: Runner, one: Mapping[str, Tensor]) -> int:
    with input_gradients(runner.model), torch.no_grad():
        logits = call_model(runner.model, {name: value.to(runner.device) for name, value in one.items()})
    return logits.shape[1]


def _derivative_scale(preprocessor: Preprocessor, main: str) -> Tensor | None:
    """Returns the factor from derivatives by the model's input to those by the image on [0, 1], if known."""
    if not isinstance(preprocessor, ImagePreprocessor) or not preprocessor.separable or main != "pixel_values":
        return None
    return 1 / preprocessor.statistics[1]


def _gradient_in_words(preprocessor: Preprocessor, main: str, num_classes: int) -> dict[str, Any]:
    on_unit = _derivative_scale(preprocessor, main) is not None
    estimated = num_classes > MAX_DIRECTIONS
    return {
        "norm": "Frobenius norm of the Jacobian of the logits",
        "with_respect_to": "the image on [0, 1]" if on_unit else f"the model's {main}",
        "computed": f"estimated from {MAX_DIRECTIONS} random directions" if estimated else "exactly",
    }


def _check(data: LabelledData, pairs: int, steps: int) -> None:
    if data.is_multi_label:
        raise ValueError("interpolation is for examples of one class; these have several")
    if len(data) < 2:
        raise ValueError(f"the {data.name} set has {len(data)} example: a pair takes two")
    if pairs < 1:
        raise ValueError(f"pairs is at least 1, not {pairs}")
    if steps < 3 or steps % 2 == 0:
        raise ValueError(f"steps is an odd number from 3 on, so that λ = 1/2 is among them, not {steps}")


def _between(values: np.ndarray) -> np.ndarray:
    """Averages (P, L) over the λ between the ends, to (P,)."""
    return values[:, 1:-1].mean(1)


def _share(by_pair: np.ndarray, seed: int) -> dict[str, Any]:
    """Averages the pairs' shares; Wilson's interval where all are equal, since resampling tells nothing then."""
    n = len(by_pair)
    if (by_pair == by_pair[0]).all():
        return estimate(by_pair[0], wilson_interval(by_pair.sum(), n), n)
    return estimate(by_pair.mean(), bootstrap_interval(np.mean, (by_pair,), seed=seed, bounds=(0, 1)), n)


def _means(values: np.ndarray, bounds: tuple[float, float], seed: int) -> list[dict[str, Any]]:
    """Averages each column of (P, L) over the pairs, with the intervals that `bootstrap_interval` gives."""
    n = len(values)
    draws = np.concatenate([counts @ values / n for (counts,) in bootstrap_counts(n, seed=seed)])
    means = values.mean(0)
    return [estimate(m, interval_of_draws(m, d, bounds), n) for m, d in zip(means, draws.T, strict=True)]


def _curve_of(estimates: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    low, high = zip(*(estimate["ci95"] for estimate in estimates), strict=True)
    return {"value": [estimate["value"] for estimate in estimates], "low": list(low), "high": list(high)}


def _truly_labelled(train: LabelledData) -> LabelledData:
    """Returns training data with their true labels: the classes in between are the true ones."""
    return train if train.true_labels is None else replace(train, labels=train.true_labels)
