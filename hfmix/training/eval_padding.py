"""The last batch of evaluation in several processes, which is filled up with repeated examples."""

from dataclasses import replace

import torch
from accelerate import Accelerator

from hfmix.mixing import MixPlan


def is_shared(accelerator: Accelerator) -> bool:
    """Returns whether the losses of the batch that was read last have to be summed over the processes."""
    state = accelerator.gradient_state
    return accelerator.num_processes > 1 and state.end_of_dataloader and state.remainder > 0


def without_repeats(plan: MixPlan, accelerator: Accelerator) -> MixPlan:
    """Returns this process's plan with weight 0 for repeats: the summed loss is the mean over new examples.

    The Trainer leaves the repeated predictions out, and counts the first processes' losses once for each example
    that is new.
    """
    new, rows = accelerator.gradient_state.remainder, plan.num_rows
    mine = torch.arange(rows) + accelerator.process_index * rows
    return replace(plan, row_weight=(mine < new) * (rows / new))
