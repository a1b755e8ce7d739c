"""Mixing in a DataLoader: the batch is what the plan says, and a stock Trainer trains on it correctly."""

import pickle

import numpy as np
import pytest
import torch
from tiny import CLASSES, Pictures, tiny_model, weights
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments

from hfmix import (
    ERM,
    BatchMixer,
    CutMix,
    ManifoldMixup,
    MixCollator,
    MixedTargets,
    MixLoss,
    Mixup,
    OneOf,
    RegMixup,
    Schedule,
    mixed_cross_entropy,
)
from hfmix.mixing import keyed_generator

N = 7


def pairs(shape=(3, 5, 6), n=N, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(n, *shape, generator=generator) * 255).to(dtype)
    return list(zip(x, range(n), strict=True)), x, torch.arange(n)


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 160, 160)], ids=["small rows", "large rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bfloat16])
@pytest.mark.parametrize("policy", [Mixup(), CutMix(granularity="example"), RegMixup(), ERM()], ids=str)
def test_a_batch_is_its_plan_applied_to_the_stacked_samples(policy, dtype, shape):
    samples, x, labels = pairs(shape, dtype=dtype)
    before = x.clone()
    mixed, targets = MixCollator(policy, seed=3)(samples)
    plan = policy.sample(N, shape, keyed_generator(3, 0, 0, 0))
    torch.testing.assert_close(mixed, plan.apply(x))
    assert torch.equal(targets.dense(N), plan.targets(labels).dense(N))
    assert torch.equal(x, before)


def test_dictionaries_masks_lengths_and_heads():
    samples = [
        {
            "input_values": torch.full((4,), float(i)),
            "attention_mask": torch.tensor([1] * (i + 1) + [0] * (3 - i)),
            "lengths": i + 1,
            "label": {"species": i, "sex": i % 2},
        }
        for i in range(3)
    ]
    batch = MixCollator(Mixup(), seed=1)(samples)
    plan = Mixup().sample(3, (4,), keyed_generator(1, 0, 0, 0))
    values = torch.stack([sample["input_values"] for sample in samples])
    torch.testing.assert_close(batch["input_values"], plan.apply(values))
    longest = [max(int(i), int(j)) + 1 for i, j in plan.source]
    assert batch["lengths"].tolist() == longest == batch["attention_mask"].sum(1).tolist()
    assert batch["attention_mask"].dtype == torch.int64
    assert set(batch["labels"]) == {"species", "sex"}
    assert torch.equal(batch["labels"]["sex"].dense(2), plan.targets(torch.tensor([0, 1, 0])).dense(2))


def test_a_collate_fn_makes_the_batch_first():
    def pad(samples):
        values = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(s["values"]) for s in samples], batch_first=True)
        return {"input_values": values, "labels": torch.tensor([s["label"] for s in samples])}

    samples = [{"values": np.ones(i + 1, dtype=np.float32) * i, "label": i} for i in range(4)]
    batch = MixCollator(Mixup(), pad, seed=2)(samples)
    plan = Mixup().sample(4, (4,), keyed_generator(2, 0, 0, 0))
    torch.testing.assert_close(batch["input_values"], plan.apply(pad(samples)["input_values"]))
    with pytest.raises(ValueError, match=r"'values' differs between samples, \(1,\) .*give a collate_fn"):
        MixCollator(Mixup())(samples)


def test_nearest_and_same_class_pairings_see_inputs_and_labels():
    x = torch.tensor([[0.0], [10.0], [1.0], [11.0]])
    samples = [{"pixel_values": row, "labels": label} for row, label in zip(x, [0, 1, 1, 0], strict=True)]
    nearest = MixCollator(Mixup(pairing="nearest"))(samples)["labels"].labels[:, 1]
    assert nearest.tolist() == [1, 0, 0, 1]  # the labels of rows 2, 3, 0, 1
    same = MixCollator(Mixup(pairing="same_class"))(samples)["labels"].labels
    assert torch.equal(same[:, 0], same[:, 1])


def draws(collator, workers, generator=None):
    """λ of each batch of one epoch."""
    data = TensorDataset(torch.randn(8, 3, 4, 4), torch.arange(8))
    loader = DataLoader(data, 2, collate_fn=collator, num_workers=workers, generator=generator)
    return [targets.label_weight[0, 0].item() for _, targets in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_draws_follow_the_seed_and_differ_between_batches_workers_and_epochs(workers, monkeypatch):
    def two_epochs(seed, rank="0"):
        monkeypatch.setenv("RANK", rank)
        collator, generator = MixCollator(Mixup(), seed=seed), torch.Generator().manual_seed(5)
        return draws(collator, workers, generator) + draws(collator, workers, generator)

    first = two_epochs(0)
    assert two_epochs(0) == first
    assert len({*first, *two_epochs(1), *two_epochs(0, rank="1")}) == 24


def test_a_worker_gives_the_same_kind_of_batch():
    samples, _, _ = pairs((3, 160, 160))
    loader = DataLoader(samples, N, collate_fn=MixCollator(CutMix()), num_workers=1)
    mixed, targets = next(iter(loader))
    assert mixed.shape == (N, 3, 160, 160) and mixed.is_shared()
    assert isinstance(targets, MixedTargets)
    pickle.loads(pickle.dumps(MixCollator(CutMix())))  # for workers that are started anew


def trainer(folder, collator, model=None, evaluation=None, callbacks=(), **settings):
    torch.manual_seed(0)
    defaults = {
        "per_device_train_batch_size": 4,
        "max_steps": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "optim": "sgd",
        "learning_rate": 0.1,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0,
        "report_to": "none",
        "train_sampling_strategy": "sequential",
    }
    return Trainer(
        model=model or tiny_model(),
        args=TrainingArguments(output_dir=str(folder), **{**defaults, **settings}),
        train_dataset=Pictures(10),
        eval_dataset=evaluation or Pictures(10),
        data_collator=collator,
        compute_loss_func=MixLoss(),
        callbacks=list(callbacks),
    )


@pytest.mark.parametrize("policy", [Mixup(), RegMixup(20.0), CutMix()], ids=str)
def test_the_stock_trainer_accumulates_as_one_batch(tmp_path, policy):
    """One step of 4 + 4 + 2 examples goes down the gradient of their loss over all 10, by hand."""
    collator, model = MixCollator(policy, seed=4), tiny_model()
    data, lr = Pictures(10), 0.1
    total = 0.0
    model.train()
    for number, rows in enumerate((range(4), range(4, 8), range(8, 10))):
        rows = list(rows)
        plan = policy.sample(len(rows), (3, 16, 16), keyed_generator(4, 0, 0, number))
        logits = model(plan.apply(data.x[rows])).logits
        total = total + mixed_cross_entropy(logits, plan.targets(data.y[rows]), reduction="sum")
    loss = total / 10
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    stock = trainer(
        tmp_path, collator, callbacks=[collator], max_steps=1, gradient_accumulation_steps=3, learning_rate=lr
    )
    before = weights(stock)
    stock.train()
    torch.testing.assert_close(weights(stock), before - lr * gradient, rtol=1e-5, atol=1e-7)
    assert stock.state.log_history[0]["loss"] == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("workers", [0, 2])
def test_with_the_collator_among_the_callbacks_evaluation_is_not_mixed(tmp_path, workers):
    data, collator = Pictures(10), MixCollator(RegMixup(1.0))
    stock = trainer(
        tmp_path,
        collator,
        evaluation={"first": data, "second": data},
        callbacks=[collator],
        eval_strategy="steps",
        eval_steps=1,
        eval_on_start=True,
        dataloader_num_workers=workers,
        dataloader_persistent_workers=workers > 0,
    )
    stock.train()
    logged = [entry["eval_second_loss"] for entry in stock.state.log_history if "eval_second_loss" in entry]
    with torch.no_grad():
        expected = F.cross_entropy(stock.model.eval()(data.x).logits, data.y).item()
    assert len(logged) == 4 and logged[-1] == pytest.approx(expected, rel=1e-5)
    assert stock.evaluate(data)["eval_loss"] == pytest.approx(expected, rel=1e-5)
    clean = trainer(tmp_path, MixCollator(ERM()), dataloader_num_workers=workers)
    clean.train()
    assert not torch.equal(weights(stock), weights(clean))  # training was mixed


def test_evaluating_on_the_way_changes_nothing(tmp_path):
    runs = []
    for strategy in ("no", "steps"):
        collator = MixCollator(Mixup())
        runs.append(trainer(tmp_path, collator, callbacks=[collator], eval_strategy=strategy, eval_steps=1))
        runs[-1].train()
    assert torch.equal(weights(runs[0]), weights(runs[1]))


def test_without_the_callback_the_first_evaluation_stops(tmp_path):
    stock = trainer(tmp_path, MixCollator(Mixup()), eval_strategy="steps", eval_steps=1)
    with pytest.raises(RuntimeError, match=r"callbacks=\[collator\]"):
        stock.train()
    collator = MixCollator(Mixup())
    with pytest.raises(RuntimeError, match="not the one that collates the training batches"):
        trainer(tmp_path, MixCollator(Mixup()), callbacks=[collator]).train()


def test_a_schedule_follows_the_trainer(tmp_path):
    seen = []

    class Watching(Mixup):
        def draw(self, batch, generator):
            seen.append(batch.progress)
            return super().draw(batch, generator)

    collator = MixCollator(Watching(p=Schedule.switch_off(1.0, 0.5)))
    trainer(tmp_path, collator, callbacks=[collator], max_steps=3).train()
    assert seen[0] == 0.0 and seen[-1] == pytest.approx(1 / 3, abs=0.34) and seen == sorted(seen)
    with pytest.raises(ValueError, match="needs the progress of training"):
        MixCollator(Mixup(p=Schedule.warm_up(1.0, 0.1)))(pairs()[0])


def test_plain_batches_where_mixing_is_off():
    samples, x, labels = pairs()
    collator = MixCollator(Mixup())
    collator.mixing = False
    plain, plain_labels = collator(samples)
    assert torch.equal(plain, x) and torch.equal(plain_labels, labels)
    assert torch.equal(MixCollator(Mixup(p=1e-9))(samples)[0], x)


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], ValueError, "no samples"),
        ([{"pixel_values": torch.zeros(3)}], ValueError, "mixing needs labels, under labels or label"),
        ([{"labels": 1}], ValueError, "nothing to mix"),
        ([{"path": "a.png", "labels": 1}], TypeError, "'path' is a str, samples hold tensors"),
        ([{"x": torch.zeros(3, dtype=torch.int64), "labels": 1}], TypeError, "not torch.int64"),
        ([torch.zeros(3)], TypeError, "a sample is a dictionary or an (input, label) pair, not a Tensor"),
    ],
)
def test_what_cannot_be_mixed_is_named(samples, error, message):
    with pytest.raises(error) as raised:
        MixCollator(Mixup())(samples)
    assert message in str(raised.value)


def test_manifold_mixup_is_refused_at_once():
    for policy in (ManifoldMixup(), OneOf([Mixup(), ManifoldMixup()])):
        with pytest.raises(ValueError, match="mixes inside the model, not the batch: use MixTrainer"):
            MixCollator(policy)


def test_batch_mixer_gives_dense_or_sparse_targets():
    _, x, labels = pairs()
    mixed, dense = BatchMixer(Mixup(), num_classes=N, label_smoothing=0.1, seed=6)(x, labels)
    plan = Mixup().sample(N, generator=keyed_generator(6, 0, 0, 0))
    torch.testing.assert_close(mixed, plan.apply(x))
    torch.testing.assert_close(dense, plan.targets(labels).dense(N) * 0.9 + 0.1 / N)
    _, targets = BatchMixer(RegMixup(eta=3.0))(x, labels)
    assert isinstance(targets, MixedTargets) and len(targets.labels) == 2 * N
    with pytest.raises(ValueError, match="weighs clean and mixed rows differently"):
        BatchMixer(RegMixup(eta=3.0), num_classes=N)(x, labels)
    mixer = BatchMixer(Mixup(), num_classes=CLASSES + N)
    mixer.mixup_enabled = False
    plain, one_hot = mixer(x, labels)
    assert plain is x and torch.equal(one_hot, F.one_hot(labels, CLASSES + N).float())
