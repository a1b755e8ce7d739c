"""The training log beside the loss: its parts, accuracy under mixing, λ, and the first loss that is not finite."""

import time

import torch
from torch import Tensor

from hfmix.mixing import MixedTargets, MixPlan

_CLEAN_LOSS, _CLEAN_ROWS, _MIXED_LOSS, _MIXED_ROWS, _HITS, _SHARE, _SHARED_ROWS, _EXAMPLES = range(8)


class TrainingLog:
    """Sums over the steps since the last log line, kept on the device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._first_bad: Tensor | None = None
        self._since = time.perf_counter()

    def add(self, plan: MixPlan, targets: MixedTargets, logits: Tensor, row_losses: Tensor, step: int) -> None:
        """Adds one micro-batch.

        Args:
            plan: the batch's mixing plan.
            targets: the targets of the R rows.
            logits: the model's logits, (R, C).
            row_losses: the losses of the rows, (R,), without row weights.
            step: the optimizer's step, to be reported with the first row whose loss is not finite.
        """
        rows, labels = row_losses.detach().float(), targets.labels
        is_mixed = (targets.label_weight.amax(1) < 1.0).float()
        predicted = logits.detach().argmax(1, keepdim=True)
        if labels.is_floating_point():
            hits = labels.gather(2, predicted.unsqueeze(1).expand(-1, labels.shape[1], -1)).squeeze(2).float()
        else:
            hits = (labels == predicted).float()
        # the plan is on the host, so that these sums cost the device nothing
        interpolated = plan.weight[:, 0][plan.weight.amax(1) < 1.0]
        on_host = torch.tensor([float(interpolated.sum()), len(interpolated), plan.num_inputs])
        on_device = torch.stack(
            [
                (rows * (1.0 - is_mixed)).sum(),
                (1.0 - is_mixed).sum(),
                (rows * is_mixed).sum(),
                is_mixed.sum(),
                (hits * targets.label_weight).sum(),
            ]
        )
        sums = torch.cat([on_device, on_host.to(rows.device, non_blocking=True)])
        self._sums = sums if self._sums is None else self._sums + sums
        bad = ~torch.isfinite(rows)
        first = torch.stack([torch.where(bad.any(), step, -1), bad.int().argmax()])
        before = self._first_bad
        self._first_bad = first if before is None else torch.where(before[0] < 0, first, before)

    @property
    def on_device(self) -> Tensor | None:
        """Returns this process's sums, (8,) float32, to be added up over processes; None if nothing was added."""
        return self._sums

    def first_bad(self) -> tuple[int, int] | None:
        """Returns the step and the row of the first loss that is not finite, or None. Waits for the device."""
        if self._first_bad is None or int(self._first_bad[0]) < 0:
            return None
        return int(self._first_bad[0]), int(self._first_bad[1])

    def entries(self, sums: Tensor) -> dict[str, float]:
        """Returns the log line's entries from the sums of all processes, and resets the sums.

        - ``loss_clean``, ``loss_mixed``: mean loss of the rows with one label, and of those with several; the
          first only if there are both kinds, the second only if there are mixed rows;
        - ``train_accuracy``: mean over rows of the predicted class's label weight, as in the mixup paper's code:
          the usual accuracy on clean rows, λ·[ŷ = y_i] + (1 − λ)·[ŷ = y_j] on mixed ones;
        - ``lambda``: mean weight of a row's own input over the rows whose input is mixed;
        - ``examples_per_second``: input examples of all processes per second.
        """
        total = sums.tolist()
        elapsed, self._since = time.perf_counter() - self._since, time.perf_counter()
        self._sums = None
        entries: dict[str, float] = {}
        if total[_MIXED_ROWS]:
            if total[_CLEAN_ROWS]:
                entries["loss_clean"] = total[_CLEAN_LOSS] / total[_CLEAN_ROWS]
            entries["loss_mixed"] = total[_MIXED_LOSS] / total[_MIXED_ROWS]
        entries["train_accuracy"] = total[_HITS] / (total[_CLEAN_ROWS] + total[_MIXED_ROWS])
        if total[_SHARED_ROWS]:
            entries["lambda"] = total[_SHARE] / total[_SHARED_ROWS]
        entries["examples_per_second"] = total[_EXAMPLES] / elapsed
        return entries
