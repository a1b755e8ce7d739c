"""A set of random pictures and a trainer small enough for exact tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils.data import Dataset

from hfmix import MixPlan, MixTrainer, MixTrainingArguments, Policy, RegMixup, load_backbone

CLASSES = 4


class Pictures(Dataset):
    """`n` random pictures with random labels, the same ones each time."""

    def __init__(self, n: int = 10) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(n, 3, 16, 16, generator=generator)
        self.y = torch.randint(CLASSES, (n,), generator=generator)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"pixel_values": self.x[i], "labels": int(self.y[i])}


def tiny_model() -> nn.Module:
    """A tiny vision transformer (no dropout, no BatchNorm) with the same weights each time."""
    torch.manual_seed(0)
    return load_backbone("test_vit", list("abcd"), pretrained=False, image_size=16)[0]


def tiny_arguments(folder: Path, **arguments: Any) -> MixTrainingArguments:
    """Six steps of four pictures."""
    defaults = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "max_steps": 6,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 1,
        "mix": "erm",
    }
    return MixTrainingArguments(**{**defaults, **arguments})


def tiny_trainer(folder: Path, policy: Policy | None = None, n: int = 10, **arguments: Any) -> MixTrainer:
    """A trainer of `tiny_model`."""
    args, data = tiny_arguments(folder, **arguments), Pictures(n)
    return MixTrainer(model=tiny_model(), args=args, policy=policy, train_dataset=data, eval_dataset=data)


def weights(trainer: MixTrainer) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])


@dataclass(frozen=True)
class SwapNeighbours(Policy):
    """Mixes rows 0 and 1, 2 and 3, … with λ = 0.3: partners stay within any even micro-batch."""

    clean: bool
    name: ClassVar[str] = "swap_neighbours"

    def draw(self, batch, generator):
        i = torch.arange(batch.size)
        source, weight = torch.stack([i, i ^ 1], 1), torch.tensor([0.3, 0.7]).expand(batch.size, -1)
        row_weight = torch.ones(batch.size)
        if self.clean:
            like = RegMixup().sample(batch.size)
            source, weight = (
                torch.cat([like.source[: batch.size], source]),
                torch.cat([like.weight[: batch.size], weight]),
            )
            row_weight = like.row_weight
        return MixPlan(source, weight, weight, row_weight, batch.size)
