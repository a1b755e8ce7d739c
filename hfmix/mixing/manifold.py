"""Manifold mixup on any model: the output of a layer is mixed instead of the input."""

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from hfmix.mixing.plan import MixPlan


@contextmanager
def mixing_at(model: nn.Module, plan: MixPlan) -> Iterator[None]:
    """Makes the module named by ``plan.layer`` return mixed rows, within the block; if None, nothing changes.

    ``with mixing_at(model, plan): logits = model(x)``, then the loss of ``plan.targets(labels)``. The module
    returns a tensor (N, *shape), or a tuple or ModelOutput that begins with one. If the forward pass calls it
    several times, only the first output is mixed. With activation checkpointing the backward pass belongs into the
    block too, since it runs the module once more.

    Raises:
        ValueError: the model has no such module, the module did not run, or it ran several times under activation
            checkpointing.
    """
    if plan.layer is None:
        yield
        return
    module, forward_calls = find_layer(model, plan.layer), []

    def mix(_: nn.Module, __: Any, output: Any) -> Any:
        if not _in_backward():
            forward_calls.append(True)
            if len(forward_calls) > 1:
                return output
        elif len(forward_calls) > 1:
            raise ValueError(
                f"layer {plan.layer!r} runs several times in a forward pass: mixing there does not go with "
                f"activation checkpointing"
            )
        if isinstance(output, Tensor):
            return plan.apply(output)
        if isinstance(output, tuple):
            return (plan.apply(output[0]), *output[1:])
        if isinstance(output, dict) and output:
            first = next(iter(output))
            output[first] = plan.apply(output[first])
            return output
        raise TypeError(f"layer {plan.layer!r} returns a {type(output).__name__}: mixing needs a tensor")

    handle = module.register_forward_hook(mix)
    try:
        yield
    finally:
        handle.remove()
    if not forward_calls:
        raise ValueError(
            f"layer {plan.layer!r} did not run in the model's forward pass: nothing was mixed; name one that runs "
            f"(with activation checkpointing it may be only those within it)"
        )


def _in_backward() -> bool:
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Returns the module called `name` in ``model.named_modules()``, or the only one whose name ends in ``.name``.

    So "layer1" finds a ResNet's first stage inside a wrapper too.

    Raises:
        ValueError: no module has the name, or several do; the message suggests some.
    """
    modules = dict(model.named_modules())
    matches = [module for module in modules if module == name or module.endswith(f".{name}")]
    if name not in modules and len(matches) == 1:
        name = matches[0]
    if name not in modules or name == "":
        near = get_close_matches(name, modules, n=3) or layer_names(model)
        raise ValueError(f"{type(model).__name__} has no layer {name!r}: did you mean {' or '.join(near)}?")
    return modules[name]


def layer_names(model: nn.Module, count: int = 3) -> list[str]:
    """Returns the names of the model's first blocks, for `ManifoldMixup(layers=...)`.

    The blocks are the numbered modules (``layer1`` to ``layer4``, ``blocks.0`` to ``blocks.11``) that hold the
    most parameters together; the last is left out, since the classifier follows it.
    """
    families: dict[str, dict[str, int]] = {}
    for name, module in model.named_modules():
        stem = name.rstrip("0123456789")
        if stem != name:
            families.setdefault(stem, {})[name] = sum(p.numel() for p in module.parameters())
    several = [blocks for blocks in families.values() if len(blocks) > 1]
    largest = max(several, key=lambda blocks: sum(blocks.values()), default={})
    return list(largest)[:-1][:count] or [name for name, _ in model.named_children()][:count]
