"""The last batch of evaluation, which several processes share and which is filled up with examples seen before."""

from dataclasses import replace

import torch
from accelerate import Accelerator

from hfmix.mixing import MixPlan


def is_shared(accelerator: Accelerator) -> bool:
    """Whether the batch that was read last is one whose losses have to be summed over the processes."""
    state = accelerator.gradient_state
    return accelerator.num_processes > 1 and state.end_of_dataloader and state.remainder > 0


def without_repeats(plan: MixPlan, accelerator: Accelerator) -> MixPlan:
    """The plan of this process's part, with weight 0 for repeats: the sum is the mean over new examples.

    The Trainer leaves the repeated predictions out, and counts the first processes' losses once for each example
    that is new.
    """
    new, rows = accelerator.gradient_state.remainder, plan.num_rows
    mine = torch.arange(rows) + accelerator.process_index * rows
    return replace(plan, row_weight=(mine < new) * (rows / new))
