"""However a batch is cut into micro-batches, the step is the same."""

import pytest
import torch
from tiny import SwapNeighbours, tiny_trainer, weights

from hfmix import ERM


def gradient(tmp_path, policy, n, micro_batch):
    """What one step of SGD with rate 1 subtracts."""
    trainer = tiny_trainer(
        tmp_path,
        policy,
        n,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=-(-n // micro_batch),
        max_steps=1,
        optim="sgd",
        learning_rate=1.0,
        max_grad_norm=0,
        train_sampling_strategy="sequential",
    )
    start = weights(trainer)
    trainer.train()
    return start - weights(trainer)


@pytest.mark.parametrize("policy", [ERM(), SwapNeighbours(clean=False), SwapNeighbours(clean=True)])
@pytest.mark.parametrize(("n", "micro_batch"), [(8, 4), (8, 2), (10, 4)])
def test_micro_batches_add_up(tmp_path, policy, n, micro_batch):
    whole, parts = (gradient(tmp_path, policy, n, size) for size in (n, micro_batch))
    assert whole.norm() > 0.1
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5 * whole.norm().item())
