"""Black-box attacks: adversarial examples made on one model and tested on another, for every pair of models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from tqdm.auto import tqdm

from hfmix.data.kinds import preprocessor_for
from hfmix.data.labelled import LabelledData
from hfmix.data.splits import as_labelled
from hfmix.robustness.attacks.inputs import AttackedModel, attacked_model
from hfmix.robustness.attacks.perturb import perturbed, random_starts
from hfmix.robustness.attacks.threats import Threat, check_threats
from hfmix.robustness.estimates import proportion
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Outputs, Runner
from hfmix.robustness.inference.sharding import num_processes
from hfmix.robustness.report import SCHEMA_VERSION
from hfmix.utils.environment import versions
from hfmix.utils.model_calls import evaluating

AttackName = Literal["pgd", "ifgsm", "fgsm"]


def transfer_matrix(
    models: Mapping[str, tuple[nn.Module, Any]],
    data: Dataset | LabelledData,
    attack: AttackName = "pgd",
    eps: float | str = 8 / 255,
    norm: Literal["linf", "l2"] = "linf",
    steps: int = 10,
    seed: int = 0,
    batch_size: int = 128,
    *,
    keep: str | Path | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Measures the accuracy of every model on the examples made on every model, as plain JSON.

    The diagonal is the white box. In mixup's paper (arXiv 1710.09412, section 3.5) black-box examples are made on
    a second ERM model: give two ERM models that differ in their seed, and the model in question. The row of the
    first ERM model then has the paper's figures, as one minus the error rate, in the columns of the other two.

    If torch's process group is initialised, each process takes its share of the batches, and every process returns
    the whole. Random starts depend on `seed` and an example's place alone, not on the batch or the source.

    Args:
        models: by name a model, which returns logits or an output with `.logits`, and its processor. The
            processors may normalise differently: the image before normalisation, in [0, 1], is attacked. Each
            model is tested on the image as the source's processor resized it, not its own.
        data: the test set; its labels are indices of the logits.
        attack: "pgd", a random start and steps of 2.5 ``eps / steps``; "ifgsm", steps of ``eps / steps`` from the
            example itself; "fgsm", one step of ``eps``.
        eps: radius of the ball, a number or such text as "8/255"; see `hfmix.robustness.attacks.pgd`.
        norm: "linf" or "l2".
        steps: number of steps; "fgsm" takes one.
        seed: seed of random starts.
        batch_size: examples per forward pass.
        keep: a folder for finished parts, from which a stopped run resumes; they are removed at the end.
        progress: show a bar.

    Returns:
        ``accuracy`` by source and target and ``clean`` by model, estimates with Wilson's interval; beside them
        ``schema_version``, ``models``, ``data``, ``attack``, ``seed`` and ``versions``.

    Raises:
        ValueError: fewer than two models, inputs of different shapes or heads of different sizes, an example with
            several classes, an unknown attack, or what the attacks refuse.
    """
    if attack not in get_args(AttackName):
        raise ValueError(f"unknown attack {attack!r}: there are {', '.join(get_args(AttackName))}")
    threat = Threat(norm, [eps], [attack], 1 if attack == "fgsm" else steps)
    if len(models) < 2:
        raise ValueError(f"a transfer matrix is of two models or more, not of {len(models)}")
    data = data if isinstance(data, LabelledData) else as_labelled(data, name="test").by_value()
    if data.is_multi_label:
        raise ValueError("the examples have several classes each: attacks need one class an example")
    transfer = _Transfer(models, data, threat, seed, batch_size, None if keep is None else Path(keep))
    total = 2 * len(models) * len(data) // num_processes()
    with tqdm(total=total, unit="example", desc="transfer", disable=not progress) as bar:
        clean = transfer.clean(bar)
        fingerprint = next(iter(clean.values())).fingerprint
        right = {name: transfer.made_on(name, bar) for name in models}
    transfer.cache.clear()
    return {
        "schema_version": SCHEMA_VERSION,
        "models": {
            name: {"num_parameters": sum(p.numel() for p in model.parameters())}
            for name, (model, _) in models.items()
        },
        "data": {
            "kind": data.kind,
            "num_samples": len(data),
            "class_names": data.class_names,
            "fingerprint_sha256": fingerprint,
        },
        "attack": {**_settings(threat), "applied": transfer.attacked[next(iter(models))].applied},
        "seed": seed,
        "versions": versions(),
        "clean": {name: proportion(outputs.logits.argmax(1) == data.labels) for name, outputs in clean.items()},
        "accuracy": {
            source: {target: proportion(column) for target, column in zip(models, rows.T, strict=True)}
            for source, rows in right.items()
        },
    }


class _Transfer:
    """Several models on one set."""

    def __init__(
        self,
        models: Mapping[str, tuple[nn.Module, Any]],
        data: LabelledData,
        threat: Threat,
        seed: int,
        batch_size: int,
        keep: Path | None,
    ) -> None:
        self.data, self.threat, self.seed = data, threat, seed
        preprocessors = {name: preprocessor_for(data.kind, processor) for name, (_, processor) in models.items()}
        self.attacked = {name: attacked_model(model, preprocessors[name]) for name, (model, _) in models.items()}
        _check_alike(self.attacked, data)
        for attacked in self.attacked.values():
            check_threats([threat], attacked.bounds)
        batch_size = min(batch_size, *(p.max_batch_size or batch_size for p in preprocessors.values()))
        example = data.example(0)
        inputs = {name: p.features(example) for name, p in preprocessors.items()} if keep is not None else {}
        self.alone = {
            name: Runner(model, preprocessors[name], batch_size, ResultCache(keep, model, inputs.get(name)))
            for name, (model, _) in models.items()
        }
        # what is right depends on all of them
        together = nn.ModuleList(model for model, _ in models.values())
        of_all = {f"{i} {key}": value for i, of in enumerate(inputs.values()) for key, value in of.items()}
        self.cache = ResultCache(keep, together, of_all)
        self.runners = {
            name: Runner(together, preprocessor, batch_size, self.cache)
            for name, preprocessor in preprocessors.items()
        }

    def clean(self, bar: tqdm) -> dict[str, Outputs]:
        """Returns each model's outputs on the unperturbed examples.

        Raises:
            ValueError: the heads are of different sizes, or too small for a label.
        """
        by_model = {name: runner.outputs(self.data, bar) for name, runner in self.alone.items()}
        sizes = {name: outputs.logits.shape[1] for name, outputs in by_model.items()}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"the models have different numbers of classes: {said}")
        if self.data.labels.max() >= next(iter(sizes.values())):
            raise ValueError(
                f"the test set has label {self.data.labels.max()}, the models {sizes.popitem()[1]} classes"
            )
        return by_model

    def made_on(self, source: str, bar: tqdm) -> np.ndarray:
        """Returns (N, models) booleans: which model is right about an example made on `source`."""
        attacked = self.attacked[source]

        def batch(
            start: int, examples: Sequence[Any], prepared: tuple[Tensor, Tensor | None]
        ) -> dict[str, np.ndarray]:
            x, lengths = prepared
            y = torch.from_numpy(self.data.labels[start : start + len(examples)])
            bound = attacked.of_lengths(lengths)
            x = x.to(next(attacked.parameters()).device)
            ((attack,), (eps,)) = self.threat.attacks, self.threat.eps

            def starts() -> Tensor:  # the places at which the adversarial axis begins too
                return random_starts(self.threat, eps, x, bound.mask(x), self.seed, start)

            adversarial = perturbed(self.threat, attack, eps, bound, x, y, starts, self.seed)
            right = [_predicted(target.of_lengths(lengths), adversarial) == y for target in self.attacked.values()]
            return {"right": torch.stack(right, 1).numpy()}

        place = list(self.attacked).index(source)
        name = f"transfer-{place}-{self.threat}-{self.seed}"
        prepare = lambda _, examples: attacked.prepare(examples)  # noqa: E731
        return self.runners[source].rows(self.data, name, prepare, batch, bar)["right"]


def _settings(threat: Threat) -> dict[str, Any]:
    """Returns the attack as plain JSON."""
    ((attack,), (eps,)) = threat.attacks, threat.eps
    return {
        "name": attack,
        "norm": threat.norm,
        "eps": eps,
        "steps": threat.steps,
        "step_size": threat.step_of(attack, eps),
        "random_start": attack == "pgd",
    }


def _predicted(model: AttackedModel, x: Tensor) -> Tensor:
    """Returns (B,) class indices, on the CPU."""
    with evaluating(model):
        return model(x.to(next(model.parameters()).device)).argmax(1).cpu()


def _check_alike(attacked: Mapping[str, AttackedModel], data: LabelledData) -> None:
    """Raises a ValueError for models whose inputs cannot be exchanged."""
    (first, reference), *others = ((name, model.prepare([data.example(0)])[0]) for name, model in attacked.items())
    for name, x in others:
        if x.shape != reference.shape:
            sizes = (" × ".join(map(str, inputs.shape[1:])) for inputs in (reference, x))
            raise ValueError(
                f"{first} takes inputs of {next(sizes)}, {name} of {next(sizes)}: "
                "examples transfer between models of one input size"
            )
