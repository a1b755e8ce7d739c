"""Balanced draws: every class equally likely, by (seed, epoch), shared by processes, resumed within an epoch."""

from itertools import chain

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from tiny import Pictures, tiny_arguments, tiny_model, tiny_trainer, weights
from torch.utils.data import BatchSampler, IterableDataset

from hfmix import MixTrainer, Mixup, RegMixup
from hfmix.data.arguments import DataArguments
from hfmix.data.datasets.in_memory import InMemoryExamples
from hfmix.data.datasets.map_style import Examples, transform_for
from hfmix.data.splits import load_splits
from hfmix.models.loading import load_backbone
from hfmix.training.sampler import BalancedSampler

SKEWED = np.repeat([0, 2, 3], [900, 90, 10])  # class 1 has no examples


def test_every_class_is_equally_likely_and_every_example_of_a_class():
    """10 epochs of 1,000 draws over 3 classes: χ², 2 degrees of freedom, is below 18 but once in 10,000 times."""
    sampler = BalancedSampler(SKEWED, seed=3)
    drawn = np.concatenate([sampler.draw(epoch) for epoch in range(10)])
    counts = np.bincount(SKEWED[drawn], minlength=4)
    assert counts[1] == 0 and ((counts[[0, 2, 3]] - 10_000 / 3) ** 2 / (10_000 / 3)).sum() < 18.4
    rare = np.bincount(drawn[drawn >= 990] - 990, minlength=10)  # 9 degrees of freedom: below 33.7
    assert ((rare - rare.mean()) ** 2 / rare.mean()).sum() < 33.7
    assert len(sampler) == len(list(sampler)) == 1000


def test_draws_follow_seed_and_epoch_alone():
    first, again, other = (BalancedSampler(SKEWED, seed) for seed in (1, 1, 2))
    assert list(first) == list(again) == list(first) != list(other)
    first.set_epoch(1)
    assert list(first) == again.draw(1).tolist() != list(again)


def test_processes_share_one_draw():
    sampler = BalancedSampler(SKEWED[:960], seed=0)
    batches = [
        list(BatchSamplerShard(BatchSampler(sampler, 32, False), num_processes=2, process_index=i)) for i in (0, 1)
    ]
    assert len(batches[0]) == len(batches[1]) == 15
    assert list(chain(*chain(*zip(*batches, strict=True)))) == sampler.draw(0).tolist()


def test_repeats_within_an_epoch_are_marked():
    marked, plain = (BalancedSampler(SKEWED, 0, marks_repeats=marks).draw(2) for marks in (True, False))
    assert (marked % 1000 == plain).all() and len(set(marked.tolist())) == 1000


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_repeated_image_is_augmented_anew(in_memory):
    args = DataArguments("digits", train_crop="pad", max_train_samples=20, max_test_samples=5)
    data = load_splits(args, 0)["train"]
    processor = load_backbone("test_resnet", data.class_names, pretrained=False, image_size=32)[1]
    if in_memory:
        examples = InMemoryExamples(data, processor, args, 0, progress=False)
    else:
        examples = Examples(data, transform_for(data, processor, args), 0)
    views = [examples[7 + repeat * len(data)] for repeat in range(8)]
    assert {int(view["labels"]) for view in views} == {int(data.labels[7])}
    assert len({view["pixel_values"].numpy().tobytes() for view in views}) >= 6
    torch.testing.assert_close(examples[27]["pixel_values"], views[1]["pixel_values"])


class Labelled(Pictures):
    """Pictures that tell their labels, and keep what was read."""

    def __init__(self):
        super().__init__()
        self.y = self.labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 2, 3])
        self.read = []

    def __getitem__(self, i):
        self.read.append(i)
        return super().__getitem__(i)


def trainer_of(folder, policy, data=None, **arguments):
    args = tiny_arguments(folder, sampler="balanced", **{"max_steps": 9, **arguments})
    return MixTrainer(model=tiny_model(), args=args, policy=policy, train_dataset=data or Labelled())


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("policy", [Mixup(1.0), RegMixup(20.0)], ids=str)
def test_a_run_resumes_within_an_epoch_bit_for_bit(tmp_path, policy, workers):
    settings = {"save_strategy": "steps", "save_steps": 4, "dataloader_num_workers": workers}
    straight = trainer_of(tmp_path, policy, **settings)
    straight.train()
    drawn = list(chain(*(BalancedSampler(Labelled().labels, 42).draw(epoch) for epoch in range(3))))
    assert workers or straight.train_dataset.read[-30:] == drawn  # three epochs, after what checks look at
    resumed = trainer_of(tmp_path, policy, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))  # the first step of the second epoch
    assert torch.equal(weights(straight), weights(resumed))
    with pytest.raises(ValueError, match="was written with sampler balanced, now random"):
        other = tiny_trainer(tmp_path, policy)
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))


def test_where_there_are_no_single_labels_it_is_refused(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            yield from ()

    with pytest.raises(ValueError, match="sampler balanced needs all labels, which a stream does not know"):
        trainer_of(tmp_path, Mixup(), Stream()).train()
    data = Labelled()
    data.labels = torch.eye(4)[data.y]
    with pytest.raises(ValueError, match="sampler balanced draws classes of which each example has one"):
        trainer_of(tmp_path, Mixup(), data).train()
    with pytest.raises(ValueError, match="both say in which order examples come"):
        trainer_of(tmp_path, Mixup(), train_sampling_strategy="sequential")
