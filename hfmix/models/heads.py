"""The head of a classifier: what is new for its classes, as opposed to the backbone."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

# children of transformers' classifiers, and of plain nets, that turn features into logits
_HEAD_NAMES = (
    "classifier",
    "cls_classifier",
    "distillation_classifier",
    "classifier_distill",
    "score",
    "head",
    "dist_head",
    "projector",
    "fc",
)
_HEAD_PARAMETERS = ("layer_weights",)  # wav2vec2's and its relatives' weights of the layers that the head reads


@dataclass(frozen=True, eq=False)
class Backbone:
    """A classifier's parts other than its head.

    Attributes:
        head: the names of the head's modules, as in ``named_modules``.
        parameters: the parameters outside the head.
        modules: the modules outside the head that do not contain it; the dropout right before the head is not
            among them, nor are the net itself and other modules around the head.
    """

    head: list[str]
    parameters: list[nn.Parameter]
    modules: list[nn.Module]


def backbone_of(model: nn.Module) -> Backbone:
    """Divides a classifier into its head and its backbone.

    The head of timm's nets is what ``get_classifier()`` returns; that of others, such as transformers', are the
    children called classifier, score, head, fc and the like.

    Raises:
        ValueError: the head cannot be told from the rest, or there is no rest.
    """
    names = {module: name for name, module in model.named_modules()}
    heads = [
        module for module in _timm_heads(model) or _named_heads(model) if any(True for _ in module.parameters())
    ]
    if not heads:
        children = ", ".join(name for name, _ in model.named_children())
        raise ValueError(
            f"the head of {type(model).__name__} cannot be told from its backbone: it has no get_classifier() and "
            f"no child called classifier, head, fc or score, only {children or 'none'}; freeze parameters "
            f"by requires_grad_(False) before the trainer is built"
        )
    within = {module for head in heads for module in head.modules()}
    in_head = {id(parameter) for head in heads for parameter in head.parameters()}
    in_head |= {id(p) for name, p in model.named_parameters(recurse=False) if name in _HEAD_PARAMETERS}
    parameters = [parameter for parameter in model.parameters() if id(parameter) not in in_head]
    if not parameters:
        raise ValueError(f"{type(model).__name__} is all head, so that there is no backbone to freeze")
    return Backbone([names[head] for head in heads], parameters, list(_outside(model, within)))


def _timm_heads(model: nn.Module) -> list[nn.Module]:
    net = next(
        (net for net in (model, *model.children()) if callable(getattr(net, "get_classifier", None))),
        None,
    )
    classifier = net.get_classifier() if net is not None else None
    given = classifier if isinstance(classifier, tuple | list | nn.ModuleList) else [classifier]
    return [module for module in given if isinstance(module, nn.Module)]


def _named_heads(model: nn.Module) -> list[nn.Module]:
    return [module for name, module in model.named_children() if name in _HEAD_NAMES]


def _outside(module: nn.Module, head: set[nn.Module]) -> Iterator[nn.Module]:
    """Yields the modules below one that contains the head, without the head and what contains it."""
    children = list(module.named_children())
    beside_head = any(child in head for _, child in children)
    for name, child in children:
        if child in head or (
            beside_head and isinstance(child, nn.Dropout) and name in ("dropout", "head_drop", "drop")
        ):
            continue
        if any(part in head for part in child.modules()):
            yield from _outside(child, head)
        else:
            yield from child.modules()
