"""On every backbone: how a batch is cut changes neither the step nor the evaluation."""

import pytest
import torch
from tiny import SwapNeighbours
from torch.nn import functional as F
from torch.utils.data import default_collate
from zoo import ZOO, counts, gradient, trainer_of

from hfmix import ERM, RegMixup

POLICIES = {
    "erm": ERM(),
    "mixup": SwapNeighbours(clean=False),
    "regmixup": SwapNeighbours(clean=True),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("animal", ZOO, ids=str)
def test_micro_batches_add_up(tmp_path, animal, policy):
    """8 × 1 = 4 × 2 = 2 × 4, and 10 = 4 + 4 + 2."""
    for n, sizes in ((8, (4, 2)), (10, (4,))):
        trainers = [
            trainer_of(
                animal,
                tmp_path,
                n,
                POLICIES[policy],
                per_device_train_batch_size=size,
                gradient_accumulation_steps=-(-n // size),
            )
            for size in (n, *sizes)
        ]
        whole, *parts = (gradient(trainer) for trainer in trainers)
        errors = [float((part - whole).norm() / whole.norm()) for part in parts]
        assert whole.norm() > 0.1 and max(errors) < 1e-5, errors


@pytest.mark.parametrize("animal", ZOO, ids=str)
def test_evaluation_does_not_depend_on_the_batch_size(tmp_path, animal):
    """Counts and mean losses over 10 examples, also where the last batch is smaller."""
    data = default_collate([animal.make(10)[i] for i in range(10)])
    found = []
    for size in (1, 3, 4, 10):
        trainer = trainer_of(animal, tmp_path, 10, RegMixup(20.0), per_device_eval_batch_size=size)
        trainer.compute_metrics = counts
        found.append(trainer.evaluate())
    labels = data.pop("labels")
    with torch.no_grad():
        logits = trainer.model.eval()(**data).logits
    expected = F.cross_entropy(logits.double(), labels).item()
    assert [metrics["eval_loss"] for metrics in found] == pytest.approx([expected] * 4, rel=1e-6)
    assert {metrics["eval_count"] for metrics in found} == {10}
    assert {metrics["eval_right"] for metrics in found} == {int((logits.argmax(1) == labels).sum())}
