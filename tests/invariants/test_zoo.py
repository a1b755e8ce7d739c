"""On every backbone: how a batch is cut changes neither the step nor the evaluation."""

import pytest
from tiny import SwapNeighbours
from zoo import ZOO, gradient, trainer_of

from hfmix import ERM

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
