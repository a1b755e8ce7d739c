"""The adversarial axis: the share of examples that stay right under attacks within a ball."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from hfmix.data.labelled import LabelledData
from hfmix.metrics import mean_interval
from hfmix.robustness.attacks.inputs import AttackedModel, attacked_model
from hfmix.robustness.attacks.perturb import perturbed, random_starts
from hfmix.robustness.attacks.threats import Threat, check_threats, eps_name, passes
from hfmix.robustness.axes.base import Axis, ClaimedReport, Context, Measured, Request, positions
from hfmix.robustness.estimates import estimate, proportion
from hfmix.robustness.inference.runner import Runner
from hfmix.robustness.predictions import Predictions
from hfmix.utils.model_calls import evaluating


@dataclass(frozen=True)
class Adversarial(Axis):
    """Accuracy under attack.

    Attributes:
        threats: what is done to each example, one threat per norm.
        data: the examples to attack, from the test set.
    """

    threats: Sequence[Threat]
    data: LabelledData
    stops_early = True

    @classmethod
    def from_request(cls, request: Request) -> Self:
        return cls(tuple(request["threats"]), request.sample_of_test(request["attack_samples"]))

    def unavailable(self, context: Context) -> str | None:
        try:
            attacked_model(context.runner.model, context.runner.preprocessor)
        except ValueError as error:
            return str(error)
        return None

    def check(self, context: Context) -> None:
        check_threats(self.threats, attacked_model(context.runner.model, context.runner.preprocessor).bounds)

    def passes(self, context: Context) -> int:
        return len(self.data) * passes(self.threats)

    def seconds(self, context: Context, one_pass: float) -> float:
        """See `Axis.seconds`; a pass back takes about as long as two forward."""
        return 3 * super().seconds(context, one_pass)

    def measure(self, context: Context) -> Measured:
        places = positions(self.data, context.test)
        return Measured(
            *adversarial_axis(context.runner, self.data, self.threats, context.seed, context.bar, places)
        )

    @classmethod
    def repeat(cls, claim: ClaimedReport) -> Self:
        attacked = claim.axes["adversarial"]
        threats = [Threat.from_settings(norm, settings) for norm, settings in attacked["settings"].items()]
        return cls(threats, claim.test.sample(attacked["num_samples"], claim.content["seed"]))


def adversarial_axis(
    runner: Runner,
    data: LabelledData,
    threats: Sequence[Threat],
    seed: int,
    bar: tqdm,
    positions: np.ndarray | None = None,
) -> tuple[dict[str, Any], Predictions]:
    """Measures the accuracy under each attack within each radius.

    An example that is misclassified without an attack is not attacked. One that an attack breaks within a radius
    counts as broken for stronger attacks within the same radius, and for this attack within larger radii, where
    what broke it lies too. So accuracy can only fall as the radius or the attack's strength grows, and no broken
    example is attacked again.

    Random starts depend on `seed` and an example's place in `data` alone.

    Args:
        runner: the model with its preprocessor.
        data: M examples to attack, see `LabelledData.sample`.
        threats: one per norm.
        seed: seed of random starts.
        bar: moves by `hfmix.robustness.attacks.threats.passes` per example.
        positions: (M,) places of the examples in the test set; None if they are the whole test set.

    Returns:
        ``applied``, ``num_samples``, ``accuracy`` without attack, ``settings`` by norm, and by norm, attack and
        radius ``robust_accuracy``; for sound also ``snr_db``, the mean signal-to-noise ratio of the perturbation
        over the examples attacked in this way, if there are two or more. Beside them
        ``robust/NORM/ATTACK/RADIUS`` (M,) booleans, and ``attacked_row`` (M,), the positions.

    Raises:
        ValueError: the model or its processor cannot be attacked, a radius exceeds the range of the input, or
            examples have several classes.
    """
    if data.is_multi_label:
        raise ValueError("attacks are for examples of one class; these have several")
    attacked = attacked_model(runner.model, runner.preprocessor)
    if data.kind != "image" and any("autoattack" in threat.attacks for threat in threats):
        raise ValueError("autoattack attacks images, and these are clips: leave it out")
    check_threats(threats, attacked.bounds)
    cells = [(threat, attack, eps) for threat in threats for attack in threat.attacks for eps in threat.eps]

    def batch(
        start: int, examples: Sequence[Any], prepared: tuple[Tensor, Tensor | None]
    ) -> dict[str, np.ndarray]:
        labels = torch.from_numpy(data.labels[start : start + len(examples)]).to(runner.device)
        x, lengths = (None if part is None else part.to(runner.device) for part in prepared)
        whole = _Batch(attacked, x, labels, lengths, seed, start)
        results = whole.under(threats, bar)
        bar.update(len(examples))
        return {
            "right": whole.right.cpu().numpy().astype(np.uint8),
            "robust": np.stack([results[_key(*cell)][0] for cell in cells], 1).astype(np.uint8),
            "snr": np.stack([results[_key(*cell)][1] for cell in cells], 1),
        }

    setting = hashlib.sha256(repr(tuple(threats)).encode()).hexdigest()[:8]
    rows = runner.rows(
        data,
        f"adversarial-{seed}-{setting}",
        lambda _, examples: attacked.prepare(examples),
        batch,
        bar,
        count=False,
    )
    robust = {_key(*cell): rows["robust"][:, i].astype(bool) for i, cell in enumerate(cells)}
    axis: dict[str, Any] = {
        "applied": attacked.applied,
        "num_samples": len(data),
        "accuracy": proportion(rows["right"].astype(bool)),
        "settings": {threat.norm: threat.settings(len(data.class_names)) for threat in threats},
    }
    for i, (threat, attack, eps) in enumerate(cells):
        estimates = {"robust_accuracy": proportion(robust[_key(threat, attack, eps)])}
        snr = rows["snr"][:, i].astype(np.float64)
        snr = snr[np.isfinite(snr)]
        if data.kind == "audio" and len(snr) > 1:  # one has no interval
            estimates["snr_db"] = estimate(snr.mean(), mean_interval(snr), len(snr))
        axis.setdefault(threat.norm, {}).setdefault(attack, {})[eps_name(eps)] = estimates
    positions = np.arange(len(data)) if positions is None else positions
    return axis, {**robust, "attacked_row": positions.astype(np.int64)}


class _Batch:
    """A batch of examples under attack.

    Attributes:
        right: (B,) booleans, True where the model is right without an attack.
    """

    def __init__(
        self, attacked: AttackedModel, x: Tensor, labels: Tensor, lengths: Tensor | None, seed: int, first: int
    ) -> None:
        self.attacked, self.x, self.labels, self.lengths = attacked, x, labels, lengths
        self.seed, self.first = seed, first
        self.right = self._right(x, torch.ones_like(labels, dtype=torch.bool))

    def under(self, threats: Sequence[Threat], bar: tqdm) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns by threat, attack and radius which examples stay right, (B,), and the SNR in dB."""
        results: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for threat in threats:
            of_attack = dict.fromkeys(threat.attacks, self.right)
            for eps in threat.eps:
                within = self.right
                for attack in threat.attacks:
                    alive = within & of_attack[attack]
                    within, snr = self._attack(threat, attack, eps, alive)
                    of_attack[attack] = within
                    results[_key(threat, attack, eps)] = within.cpu().numpy(), snr.cpu().numpy()
            bar.update(len(self.x) * threat.passes)
        return results

    def _attack(self, threat: Threat, attack: str, eps: float, alive: Tensor) -> tuple[Tensor, Tensor]:
        """Returns which of the unbroken examples stay so, and the signal-to-noise ratio of the attack."""
        snr = torch.full((len(alive),), torch.nan, device=alive.device)
        if eps == 0 or not alive.any():
            return alive, snr
        x = self.x[alive]
        adversarial = self._perturbed(threat, attack, eps, alive)
        stays = alive.clone()
        stays[alive] = self._right(adversarial, alive)
        power, noise = (part.double().flatten(1).square().sum(1) for part in (x, adversarial - x))
        snr[alive] = (10 * (power / noise).log10()).float()
        return stays, snr

    def _perturbed(self, threat: Threat, attack: str, eps: float, rows: Tensor) -> Tensor:
        """Returns adversarial inputs of these rows, (B,) booleans, alone."""
        x, y, mask = self.x[rows], self.labels[rows], self._model().mask(self.x)

        def starts() -> Tensor:
            return random_starts(threat, eps, self.x, mask, self.seed, self.first)[:, rows]

        return perturbed(threat, attack, eps, self._model(rows), x, y, starts, self.seed)

    def _right(self, x: Tensor, rows: Tensor) -> Tensor:
        """Returns (rows,) booleans: whether the model is right on these inputs of these rows."""
        model = self._model(rows)
        with evaluating(model):
            return model(x).argmax(1) == self.labels[rows]

    def _model(self, rows: Tensor | slice = slice(None)) -> AttackedModel:
        return self.attacked.of_lengths(None if self.lengths is None else self.lengths[rows])


def _key(threat: Threat, attack: str, eps: float) -> str:
    return f"robust/{threat.norm}/{attack}/{eps_name(eps)}"
