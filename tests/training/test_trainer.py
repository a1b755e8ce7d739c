"""MixTrainer mixes in training only, by its key, and reports losses on their own scale."""

from pathlib import Path

import pytest
import torch
from tiny import Pictures, tiny_trainer, weights
from torch.nn import functional as F

from hfmix import (
    ERM,
    CutMix,
    DirichletMixup,
    ManifoldMixup,
    MixTrainer,
    MixTrainingArguments,
    Mixup,
    OneOf,
    RegMixup,
    ResizeMix,
    Schedule,
    mixed_cross_entropy,
)
from hfmix.mixing import keyed_generator, mixing_at

N = 10


def logged(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_arguments_name_the_policy(tmp_path):
    trainer = tiny_trainer(tmp_path, mix="regmixup", mix_alpha=10, mix_eta=0.5, mix_reduction="sum")
    assert trainer.policy == RegMixup(10, eta=0.5, reduction="sum")
    assert tiny_trainer(tmp_path, policy=Mixup(0.3), mix="regmixup").policy == Mixup(0.3)
    assert MixTrainingArguments(output_dir=str(tmp_path), use_cpu=True).policy() == RegMixup()
    with pytest.raises(ValueError, match="did you mean 'regmixup'"):
        MixTrainingArguments(output_dir=str(tmp_path), mix="regmixp")
    with pytest.raises(ValueError, match="erm has no setting 'alpha'"):
        MixTrainingArguments(output_dir=str(tmp_path), mix="erm", mix_alpha=1)


def test_any_setting_of_a_policy_can_be_given(tmp_path):
    def policy(**arguments):
        return MixTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **arguments).policy()

    written = '{"p": 0.5, "pairing": "derangement"}'
    expected = Mixup(0.2, p=0.5, pairing="derangement")
    assert policy(mix="mixup", mix_alpha=0.2, mix_settings=written) == expected
    assert policy(mix="mixup", mix_alpha=0.2, mix_settings={"p": 0.5, "pairing": "derangement"}) == expected
    several = {"policies": [{"name": "cutmix"}, {"name": "erm"}], "weights": [1, {"points": [[0.5, 0], [0.5, 1]]}]}
    assert policy(mix="one_of", mix_settings=several) == OneOf([CutMix(), ERM()], [1, Schedule.switch_on(1, 0.5)])
    with pytest.raises(ValueError, match="mix_alpha and mix_settings both set the policy's alpha"):
        policy(mix="mixup", mix_alpha=1, mix_settings={"alpha": 1})
    with pytest.raises(ValueError, match="mix_settings is not JSON"):
        policy(mix="mixup", mix_settings="p=1")
    with pytest.raises(ValueError, match="mixup has no setting 'q': it has alpha, p"):
        policy(mix="mixup", mix_settings={"q": 1})


@pytest.mark.parametrize(
    "policy",
    [
        Mixup(1.0),
        RegMixup(20.0, base=CutMix, ratio=0.5),
        CutMix(granularity="example"),
        ResizeMix(),
        DirichletMixup(3),
        Mixup(pairing="nearest"),
        Mixup(pairing="same_class", p=Schedule.warm_up(1.0, until=0.5)),
        OneOf([Mixup(), CutMix()], granularity="example"),
    ],
    ids=str,
)
def test_the_first_step_is_the_plan_of_its_key(tmp_path, policy):
    trainer = tiny_trainer(
        tmp_path, policy, max_steps=1, per_device_train_batch_size=N, train_sampling_strategy="sequential", seed=5
    )
    data = Pictures()
    plan = policy.sample(N, (3, 16, 16), keyed_generator(5, 0, 0, 0), labels=data.y, inputs=data.x, progress=0.0)
    with torch.no_grad():
        expected = mixed_cross_entropy(trainer.model(plan.apply(data.x)).logits, plan.targets(data.y))
    trainer.train()
    assert logged(trainer) == pytest.approx([expected.item()], rel=1e-4)


def test_manifold_mixup_mixes_within_the_model(tmp_path):
    policy = ManifoldMixup(1.0, layers=("blocks.0",))
    trainer = tiny_trainer(
        tmp_path, policy, max_steps=1, per_device_train_batch_size=N, train_sampling_strategy="sequential"
    )
    plan, data = policy.sample(N, generator=keyed_generator(42, 0, 0, 0)), Pictures()
    with torch.no_grad(), mixing_at(trainer.model, plan):
        expected = mixed_cross_entropy(trainer.model(data.x).logits, plan.targets(data.y))
    clean = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert logged(trainer) == pytest.approx([expected.item()], rel=1e-4) != [clean]
    with pytest.raises(ValueError, match=r"has no layer 'blocks\.77': did you mean"):
        tiny_trainer(tmp_path, ManifoldMixup(layers=("input", "blocks.77")))


def test_plans_follow_the_key_not_the_global_generator(tmp_path):
    trainer = tiny_trainer(tmp_path, Mixup(1.0))
    inputs = {"pixel_values": torch.zeros(4, 3, 16, 16), "labels": torch.zeros(4, dtype=torch.int64)}

    def lambdas(step, count):
        trainer.state.global_step, trainer._micro_step = step, (-1, 0)
        return [trainer._draw_plan(inputs, inputs["labels"]).weight[0, 0].item() for _ in range(count)]

    torch.manual_seed(1)
    first = lambdas(0, 3)
    torch.manual_seed(2)
    assert lambdas(0, 3) == first
    assert len({*first, *lambdas(1, 3)}) == 6
    expected = [Mixup(1.0).sample(4, generator=keyed_generator(42, 0, i, 0)).weight[0, 0].item() for i in range(3)]
    assert first == expected


def test_evaluation_is_on_hard_labels_without_mixing(tmp_path):
    data = Pictures()
    losses = []
    for batch_size in (1, 3, 5, 10):
        trainer = tiny_trainer(
            tmp_path, RegMixup(20.0), per_device_eval_batch_size=batch_size, label_smoothing_factor=0.3
        )
        losses.append(trainer.evaluate()["eval_loss"])
    with torch.no_grad():
        expected = F.cross_entropy(trainer.model.eval()(data.x).logits, data.y).item()
    assert losses == pytest.approx([expected] * 4, rel=1e-5)


def test_evaluating_on_the_way_changes_nothing(tmp_path):
    alone = tiny_trainer(tmp_path, Mixup(1.0))
    watched = tiny_trainer(tmp_path, Mixup(1.0), eval_strategy="steps", eval_steps=1)
    alone.train()
    watched.train()
    assert torch.equal(weights(alone), weights(watched))


def test_erm_trains_as_the_stock_loss_does(tmp_path):
    """One step of plain SGD on the whole set is one step down the mean cross-entropy's gradient."""
    data = Pictures()
    trainer = tiny_trainer(
        tmp_path,
        ERM(),
        per_device_train_batch_size=N,
        max_steps=1,
        optim="sgd",
        learning_rate=0.1,
        max_grad_norm=0,
    )
    model = trainer.model.train()
    loss = F.cross_entropy(model(data.x).logits, data.y)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])
    before = weights(trainer)
    trainer.train()
    lr = 0.1
    torch.testing.assert_close(weights(trainer), before - lr * gradient, rtol=1e-5, atol=1e-7)
    assert logged(trainer) == pytest.approx([loss.item()], rel=1e-4)


def test_two_runs_are_equal_and_another_seed_is_not(tmp_path):
    first, again, other = (tiny_trainer(tmp_path, Mixup(1.0), seed=seed) for seed in (1, 1, 2))
    for trainer in (first, again, other):
        trainer.train()
    assert torch.equal(weights(first), weights(again))
    assert logged(first) == logged(again) != logged(other)


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path):
    straight = tiny_trainer(tmp_path / "a", RegMixup(20.0))
    straight.train()
    stopped = tiny_trainer(tmp_path / "b", RegMixup(20.0), save_strategy="steps", save_steps=4)
    stopped.train()
    resumed = tiny_trainer(tmp_path / "b", RegMixup(20.0))
    resumed.train(resume_from_checkpoint=str(tmp_path / "b" / "checkpoint-4"))
    assert resumed.state.global_step == 6
    assert torch.equal(weights(straight), weights(resumed))


def test_no_pickled_arguments_are_left(tmp_path):
    trainer = tiny_trainer(tmp_path, Mixup(1.0), save_strategy="steps", save_steps=3)
    trainer.train()
    trainer.save_model()
    assert (tmp_path / "model.safetensors").exists() and (tmp_path / "checkpoint-3" / "model.safetensors").exists()
    assert not list(Path(tmp_path).rglob("training_args.bin"))


def test_what_it_cannot_mix_is_named(tmp_path):
    trainer = tiny_trainer(tmp_path, Mixup(1.0))
    inputs = {"pixel_values": torch.zeros(2, 3, 16, 16), "labels": torch.tensor([0, 1]), "mask": torch.ones(2, 4)}
    trainer.model.train()
    with pytest.raises(ValueError, match="the batch holds mask beside pixel_values and labels"):
        trainer.compute_loss(trainer.model, inputs)
    for labels, kind in ((None, "NoneType"), (torch.zeros(4, 4, 2), r"shape \(4, 4, 2\)")):
        with pytest.raises(ValueError, match=f"the batch's 'labels' are {kind}: MixTrainer takes"):
            trainer.compute_loss(trainer.model, {"pixel_values": torch.zeros(4, 3, 16, 16), "labels": labels})
    with pytest.raises(ValueError, match="leave compute_loss_func out"):
        MixTrainer(model=trainer.model, args=trainer.args, compute_loss_func=lambda *_: None)
    MixTrainer(model=trainer.model, args=trainer.args, compute_loss_func=None)  # the stock Trainer's own default


def test_a_process_takes_one_gpu_of_several(tmp_path):
    """Several would mean DataParallel, which splits a mixed batch; `_n_gpu` is where transformers counts them."""
    args = MixTrainingArguments(output_dir=str(tmp_path), use_cpu=True, per_device_train_batch_size=8)
    args._n_gpu = 4
    assert args.n_gpu == 1 and args.train_batch_size == 8
