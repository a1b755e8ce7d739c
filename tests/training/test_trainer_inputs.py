"""What a batch may hold beside its main input: masks are joined, other numbers mixed, the rest refused."""

import pytest
import torch
from tiny import tiny_trainer
from torch.utils.data import default_collate
from zoo import ZOO

from hfmix import ManifoldMixup, MixTrainer, MixTrainingArguments, Mixup, RegMixup, mixed_cross_entropy
from hfmix.mixing import keyed_generator, mixing_at
from hfmix.mixing.inputs import mixed_inputs

WITH_MASK = next(animal for animal in ZOO if animal.name == "Wav2Vec2 (mask)")


def trainer_of(animal, folder, policy, n=6):
    args = MixTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=n,
        max_steps=1,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    return MixTrainer(model=animal.build(), args=args, policy=policy, train_dataset=animal.make(n))


@pytest.mark.parametrize("policy", [Mixup(1.0), RegMixup(20.0), ManifoldMixup(1.0, layers=("layers.0",))], ids=str)
def test_a_mixed_clip_is_as_long_as_its_longest_source(tmp_path, policy):
    trainer = trainer_of(WITH_MASK, tmp_path, policy)
    batch = default_collate([WITH_MASK.make(6)[i] for i in range(6)])
    x, labels, lengths = batch["input_values"], batch["labels"], batch["attention_mask"].sum(1)
    plan = policy.sample(6, (400,), keyed_generator(42, 0, 0, 0), labels=labels, inputs=x, progress=0.0)
    assert (plan.layer is None) == (policy.name != "manifold_mixup")
    longest = torch.stack(
        [lengths[row[weight > 0]].max() for row, weight in zip(plan.source, plan.weight, strict=True)]
    )
    mask = (torch.arange(400) < longest[:, None]).long()
    assert (mask.sum(1) != lengths.repeat(len(mask) // 6)).any()
    with torch.no_grad(), mixing_at(trainer.model, plan):
        inputs = x if plan.layer else plan.apply(x)
        expected = mixed_cross_entropy(trainer.model(inputs, attention_mask=mask).logits, plan.targets(labels))
        own = (
            mixed_cross_entropy(trainer.model(inputs).logits, plan.targets(labels)) if plan.layer is None else None
        )
    trainer.train()
    logged = trainer.state.log_history[0]["loss"]
    assert logged == pytest.approx(expected.item(), rel=1e-4)
    assert own is None or logged != pytest.approx(own.item(), rel=1e-4)


def test_other_floating_point_inputs_are_mixed_too():
    plan = Mixup(1.0).sample(4, generator=torch.Generator().manual_seed(0))
    batch = {
        "pixel_values": torch.randn(4, 3, 16, 16),
        "age": torch.randn(4, 1),
        "lengths": torch.tensor([1, 2, 3, 4]),
    }
    mixed = mixed_inputs(plan, batch, "pixel_values")
    assert mixed.keys() == batch.keys()
    torch.testing.assert_close(mixed["age"], plan.apply(batch["age"]))
    assert mixed["lengths"].tolist() == [int(batch["lengths"][row].max()) for row in plan.source]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_ids", torch.zeros(4, 5, dtype=torch.int64)),
        ("bool_masked_pos", torch.zeros(4, 5, dtype=torch.bool)),
        ("flags", torch.zeros(4, dtype=torch.bool)),
        ("mask", torch.ones(4, 5)),
        ("names", ["a", "b", "c", "d"]),
    ],
)
def test_what_has_no_mixture_is_named(tmp_path, name, value):
    trainer = tiny_trainer(tmp_path, Mixup(1.0))
    trainer.model.train()
    batch = {"pixel_values": torch.zeros(4, 3, 16, 16), "labels": torch.arange(4), name: value}
    with pytest.raises(
        ValueError, match=rf"the batch holds {name} beside pixel_values and labels: .*attention_mask"
    ):
        trainer.compute_loss(trainer.model, batch)
