"""Black box: adversarial examples made on one model and tested on another, for every pair of several models."""

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
from hfmix.robustness.attacks.gradient import attacking, fgsm, ifgsm, l2_start, linf_start, pgd
from hfmix.robustness.attacks.inputs import AttackedModel, attacked_model
from hfmix.robustness.attacks.threats import Threat, check_threats
from hfmix.robustness.estimates import proportion
from hfmix.robustness.inference.cache import ResultCache
from hfmix.robustness.inference.runner import Outputs, Runner
from hfmix.robustness.inference.sharding import num_processes
from hfmix.robustness.names import eps_name
from hfmix.robustness.report import SCHEMA_VERSION
from hfmix.utils.environment import versions
from hfmix.utils.keyed_noise import ImageKeys

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
    """Accuracy of every model on the examples made on every model, as plain JSON.

    On the diagonal is the white box. mixup's paper (arXiv 1710.09412, section 3.5) calls black box what is made on
    a second ERM model: give two ERM models that differ in their seed, and the model in question. The row of the
    first ERM model has the paper's figures, as one minus the error rate, in the columns of the other two.

    Where torch's process group is up, each process takes its share of the batches, and every one returns the
    whole. Random starts follow from `seed` and an example's place, whatever the batch or the source.

    Args:
        models: name to a model, which gives logits or an output with `.logits`, and its processor. The
            processors may normalise differently; what is attacked is the image before that, in [0, 1], and each
            model is tested on what its source was attacked on, whatever its own resize would have made of it.
        data: the test set; labels compare with the logits by index.
        attack: "pgd", random start and steps of 2.5 ``eps / steps``; "ifgsm", steps of ``eps / steps`` from the
            example itself; "fgsm", one of ``eps``.
        eps: radius of the ball, a number or such text as "8/255"; see `hfmix.robustness.attacks.pgd`.
        norm: "linf" or "l2".
        steps: how many; "fgsm" takes one.
        seed: of random starts.
        batch_size: examples a forward pass.
        keep: a folder for finished pieces, from which a run that was stopped goes on; they are removed at the end.
        progress: show a bar.

    Returns:
        ``accuracy``, by source and target, and ``clean``, by model, made of figures with Wilson's interval; beside
        them ``schema_version``, ``models``, ``data``, ``attack``, ``seed`` and ``versions``.

    Raises:
        ValueError: fewer than two models, inputs of different shapes or heads of different size, an example with
            several classes, an unknown attack, and what the attacks refuse.
    """
    if attack not in get_args(AttackName):
        raise ValueError(f"unknown attack {attack!r}: there are {', '.join(get_args(AttackName))}")
    threat = Threat(norm, [eps], [attack], 1 if attack == "fgsm" else steps)
    if len(models) < 2:
        raise ValueError(f"a transfer matrix is of two models or more, not of {len(models)}")
    data = data if isinstance(data, LabelledData) else as_labelled(data, name="test")
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
        "clean": {name: proportion(found.logits.argmax(1) == data.labels) for name, found in clean.items()},
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
        """What each model says of the examples as they are.

        Raises:
            ValueError: the heads are of different sizes, or too small for a label.
        """
        found = {name: runner.outputs(self.data, bar) for name, runner in self.alone.items()}
        sizes = {name: outputs.logits.shape[1] for name, outputs in found.items()}
        if len(set(sizes.values())) > 1:
            said = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise ValueError(f"the models have different numbers of classes: {said}")
        if self.data.labels.max() >= next(iter(sizes.values())):
            raise ValueError(
                f"the test set has label {self.data.labels.max()}, the models {sizes.popitem()[1]} classes"
            )
        return found

    def made_on(self, source: str, bar: tqdm) -> np.ndarray:
        """(N, models) booleans: which of them is right about an example made on `source`."""
        attacked = self.attacked[source]

        def batch(
            start: int, examples: Sequence[Any], prepared: tuple[Tensor, Tensor | None]
        ) -> dict[str, np.ndarray]:
            x, lengths = prepared
            y = torch.from_numpy(self.data.labels[start : start + len(examples)])
            bound = attacked.of_lengths(lengths)
            x = x.to(next(attacked.parameters()).device)
            found = _made(self.threat, bound, x, y, self.seed, start)
            right = [_predicted(target.of_lengths(lengths), found) == y for target in self.attacked.values()]
            return {"right": torch.stack(right, 1).numpy()}

        place = list(self.attacked).index(source)
        name = f"transfer-{place}-{self.threat}-{self.seed}"
        prepare = lambda _, examples: attacked.prepare(examples)  # noqa: E731
        return self.runners[source].rows(self.data, name, prepare, batch, bar)["right"]


def _made(threat: Threat, model: AttackedModel, x: Tensor, y: Tensor, seed: int, first: int) -> Tensor:
    """Adversarial examples (B, ...); `first` is the place of the first one in its set."""
    ((attack,), (eps,)) = threat.attacks, threat.eps
    given = {"norm": threat.norm, "bounds": model.bounds, "mask": model.mask(x)}
    if attack == "fgsm":
        return fgsm(model, x, y, eps, **given)
    step_size = threat.step_of(attack, eps)
    if attack == "ifgsm":
        return ifgsm(model, x, y, eps, step_size, threat.steps, **given)
    # the adversarial axis begins at the same places
    keys = ImageKeys(seed, first, f"pgd {threat.norm} {eps_name(eps)}", 0, len(x), x.device)
    if threat.norm == "linf":
        start = linf_start(keys.uniform(x.shape[1:]), eps)
    else:
        normal = keys.normal(x.shape[1:])
        normal = normal if given["mask"] is None else normal * given["mask"]
        start = l2_start(normal, keys.uniform((), stream=1), eps)
    return pgd(model, x, y, eps, step_size, threat.steps, random_start=start, **given)


def _settings(threat: Threat) -> dict[str, Any]:
    """As plain JSON."""
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
    """(B,) class indices, on the CPU."""
    with attacking(model), torch.no_grad():
        return model(x.to(next(model.parameters()).device)).argmax(1).cpu()


def _check_alike(attacked: Mapping[str, AttackedModel], data: LabelledData) -> None:
    """Refuses models whose inputs cannot be exchanged."""
    (first, reference), *others = ((name, model.prepare([data.example(0)])[0]) for name, model in attacked.items())
    for name, x in others:
        if x.shape != reference.shape:
            sizes = (" × ".join(map(str, found.shape[1:])) for found in (reference, x))
            raise ValueError(
                f"{first} takes inputs of {next(sizes)}, {name} of {next(sizes)}: "
                "examples transfer between models of one input size"
            )
