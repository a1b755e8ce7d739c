"""Mixing without MixTrainer: while a DataLoader collates, or on batches that are already on the device."""

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hfmix.mixing import ERM, ManifoldMixup, MixedTargets, MixPlan, Policy, keyed_generator
from hfmix.mixing.kernels import mix_samples
from hfmix.mixing.plan import LENGTH_NAMES, MASK_NAMES
from hfmix.mixing.targets import Labels

LABEL_NAMES = ("labels", "label", "label_ids")
# names of the main input, for whose shape boxes are drawn; without one, the first entry that can be mixed
INPUT_NAMES = ("pixel_values", "input_values", "input_features")

Column = Tensor | list[Tensor]
"""One entry of all samples: collated, or tensors of one shape that are not stacked yet."""


class _Draws:
    """A policy's plans for batch after batch, each drawn from a key of its own.

    Attributes:
        progress: training progress in [0, 1]; keep it up to date for a policy that follows a schedule.
    """

    def __init__(self, policy: Policy, seed: int) -> None:
        if any(isinstance(part, ManifoldMixup) for part in policy.parts()):
            raise ValueError(
                f"{policy.name} mixes inside the model, not the batch: use MixTrainer or hfmix.mixing.mixing_at"
            )
        self.policy = policy
        self.seed = seed
        self.progress: float | None = None
        self._drawn = 0

    def draw(self, size: int, shape: Sequence[int], labels: Labels, inputs: Tensor | None) -> MixPlan:
        """Draws the next plan; its key is (seed, process, seed of the worker or 0, number of the draw)."""
        worker = torch.utils.data.get_worker_info()
        key = (self.seed, _process_index(), 0 if worker is None else worker.seed, self._drawn)
        self._drawn += 1
        return self.policy.sample(
            size, tuple(shape), keyed_generator(*key), labels=labels, inputs=inputs, progress=self.progress
        )


class MixCollator(_Draws):
    """A collate function that mixes, for any DataLoader or a stock `transformers.Trainer`.

    Samples are dictionaries (inputs, and labels under ``labels``, ``label`` or ``label_ids``), which give a
    dictionary with ``labels``, or (input, label) pairs, which give an (inputs, labels) pair. Labels come out as
    `MixedTargets`, for `hfmix.mixed_cross_entropy` or `hfmix.MixLoss`. Without a `collate_fn` each row is mixed
    while it is stacked, in one pass over memory.

    The stock Trainer evaluates through the same collator, which cannot tell. Add the collator to the callbacks
    too, and only training batches are mixed:
    ``Trainer(data_collator=collator, callbacks=[collator], compute_loss_func=hfmix.MixLoss(), ...)``

    The same seed, data order, number of workers and (with workers) seed of the DataLoader give the same draws;
    processes, workers, batches and epochs get different ones. A resumed run draws anew; only `hfmix.MixTrainer`
    mixes it as if it had not stopped.

    Args:
        policy: what to mix; not ManifoldMixup, which mixes inside the model.
        collate_fn: makes a batch of the samples, for instance by padding; None stacks tensors of one shape.
        seed: seed of the draws.

    Attributes:
        mixing: if False, batches are collated unmixed, with plain labels.

    Raises:
        ValueError: the policy mixes inside the model.
    """

    def __init__(
        self, policy: Policy, collate_fn: Callable[[list[Any]], Any] | None = None, seed: int = 0
    ) -> None:
        super().__init__(policy, seed)
        self.collate_fn = collate_fn
        self.mixing = True
        self._in_training = self

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Returns the batch: a dictionary, or an (inputs, labels) pair.

        Raises:
            ValueError, TypeError: the samples have no labels, cannot be stacked, or cannot be mixed.
        """
        if self.collate_fn is None:
            inputs, labels, kind = _columns(samples)
        else:
            inputs, labels, kind = _split(self.collate_fn(list(samples)))
        if self.mixing:
            inputs, labels = self._mixed(inputs, labels)
        elif self.collate_fn is None:
            inputs = {name: _stacked(column) for name, column in inputs.items()}
        return {**inputs, "labels": labels} if kind is dict else (inputs[None], labels)

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops mixing outside of training; a Trainer with this collator among its callbacks calls it."""
        self.mixing = False

    def on_train_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any, **kwargs: Any) -> None:
        """Puts a copy that mixes into the training DataLoader, and nowhere else."""
        self._in_training = copy.copy(self)
        self._in_training.mixing = True
        loader = getattr(train_dataloader, "base_dataloader", train_dataloader)
        # where the Trainer removes columns, it wraps the collator
        owner, name = (loader, "collate_fn") if loader.collate_fn is self else (loader.collate_fn, "data_collator")
        if getattr(owner, name, None) is not self:
            raise RuntimeError(
                "the collator among the callbacks is not the one that collates the training batches: pass one and "
                "the same MixCollator as data_collator and in callbacks"
            )
        setattr(owner, name, self._in_training)
        self.on_step_begin(args, state, control)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Updates the training progress, for schedules."""
        self._in_training.progress = state.global_step / state.max_steps if state.max_steps else 0.0

    def __getattr__(self, name: str) -> Any:
        # nothing to do at the Trainer's other events
        if name.startswith("on_"):
            return _ignore
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def _mixed(self, inputs: Mapping[Any, Column], labels: Labels) -> tuple[dict[Any, Any], Any]:
        aside = [name for name in inputs if name in MASK_NAMES + LENGTH_NAMES]
        mixable = [name for name in inputs if name not in aside]
        if not mixable:
            raise ValueError(f"the batch has nothing to mix beside its labels, only {', '.join(aside) or 'them'}")
        main = inputs[next((name for name in INPUT_NAMES if name in inputs), mixable[0])]
        stacked = _stacked(main) if any(part.needs_inputs for part in self.policy.parts()) else None
        plan = self.draw(len(main), main[0].shape, labels, stacked)
        mixed = plan.apply({name: _stacked(inputs[name]) for name in aside})
        for name in mixable:
            column = inputs[name]
            mixed[name] = plan.apply(column) if isinstance(column, Tensor) else mix_samples(column, plan)
        return mixed, plan.targets(labels)


class BatchMixer(_Draws):
    """A mixer of collated (inputs, labels) batches: a drop-in for the `mixup_fn` of a timm-style loop.

    ``inputs, targets = mixer(inputs, labels)``, on any device. The given inputs stay as they are; batches may have
    odd sizes.

    Args:
        policy: what to mix; not ManifoldMixup.
        num_classes: makes targets dense (R, C) probabilities, one-hot where nothing is mixed, for losses such as
            timm's SoftTargetCrossEntropy. None: `MixedTargets`, for `hfmix.mixed_cross_entropy`.
        label_smoothing: ε of the dense targets (1 − ε) y + ε / C; timm's own default is 0.1.
        seed: seed of the draws.

    Attributes:
        mixup_enabled: timm's name; if False, the batch is returned unmixed.

    Raises:
        ValueError: the policy mixes inside the model, or `label_smoothing` is given without `num_classes`.
    """

    def __init__(
        self, policy: Policy, num_classes: int | None = None, label_smoothing: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__(policy, seed)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(f"label_smoothing lies in [0, 1], not {label_smoothing}")
        if label_smoothing and num_classes is None:
            raise ValueError(
                "sparse targets are smoothed by the loss: give it label_smoothing, or give num_classes"
            )
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.mixup_enabled = True

    def __call__(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | MixedTargets]:
        """Returns the mixed inputs (R, *shape) and their targets.

        Raises:
            ValueError: inputs and labels do not fit together, or the policy weighs rows differently in the
                loss, which dense targets cannot express.
        """
        if self.mixup_enabled:
            plan = self.draw(len(inputs), inputs.shape[1:], labels, inputs)
            inputs = plan.apply(inputs)
        else:
            plan = ERM().sample(len(inputs))
        targets = plan.targets(labels)
        if self.num_classes is None:
            return inputs, targets
        if not torch.allclose(plan.row_weight * plan.num_rows, torch.full((), float(plan.num_inputs))):
            raise ValueError(
                f"{self.policy} weighs clean and mixed rows differently, which dense targets cannot say: leave "
                f"num_classes out and use hfmix.mixed_cross_entropy"
            )
        dense = targets.dense(self.num_classes)
        return inputs, dense * (1.0 - self.label_smoothing) + self.label_smoothing / self.num_classes


def _columns(samples: Sequence[Any]) -> tuple[dict[Any, Column], Labels, type]:
    """Splits samples into inputs by name (None for pairs), labels, and the samples' kind: dict or tuple."""
    if not samples:
        raise ValueError("there are no samples to collate")
    first = samples[0]
    if isinstance(first, Mapping):
        names = [name for name in first if name not in LABEL_NAMES]
        label = _label_name(first)
        inputs = {name: _column(name, [sample[name] for sample in samples]) for name in names}
        return inputs, _labels([sample[label] for sample in samples]), dict
    if isinstance(first, tuple | list) and len(first) == 2:
        return {None: _column("input", [x for x, _ in samples])}, _labels([y for _, y in samples]), tuple
    raise TypeError(_not_a("sample", first))


def _split(batch: Any) -> tuple[dict[Any, Column], Labels, type]:
    """Splits a collated batch as `_columns` does samples."""
    if isinstance(batch, Mapping):
        label = _label_name(batch)
        return {name: value for name, value in batch.items() if name not in LABEL_NAMES}, batch[label], dict
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return {None: batch[0]}, batch[1], tuple
    raise TypeError(_not_a("collated batch", batch))


def _column(name: str, values: list[Any]) -> list[Tensor]:
    tensors = [value if type(value) is Tensor else _tensor(name, value) for value in values]
    shape, dtype = tensors[0].shape, tensors[0].dtype
    if any(tensor.shape != shape or tensor.dtype != dtype for tensor in tensors):
        kinds = sorted({f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in tensors})
        raise ValueError(
            f"{name!r} differs between samples, {' and '.join(kinds[:2])}: give a collate_fn that makes them alike"
        )
    return tensors


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name!r} is a {type(value).__name__}, samples hold tensors, arrays or numbers: transform it in the "
            f"data set, leave it out, or give a collate_fn"
        ) from None


def _labels(values: list[Any]) -> Labels:
    if isinstance(values[0], Mapping):
        return {head: _labels([value[head] for value in values]) for head in values[0]}
    if all(type(value) is int for value in values):
        return torch.tensor(values)
    return torch.stack(_column("labels", values))


def _label_name(entries: Mapping[str, Any]) -> str:
    label = next((name for name in LABEL_NAMES if name in entries), None)
    if label is None:
        raise ValueError(f"mixing needs labels, under {' or '.join(LABEL_NAMES)}: there are {', '.join(entries)}")
    return label


def _stacked(column: Column) -> Tensor:
    return column if isinstance(column, Tensor) else torch.stack(column)


def _not_a(what: str, given: Any) -> str:
    return f"a {what} is a dictionary or an (input, label) pair, not a {type(given).__name__}"


def _process_index() -> int:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    return int(os.environ.get("RANK", "0"))


def _ignore(*_: Any, **__: Any) -> None:
    return None
