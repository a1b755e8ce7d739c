"""The training log's values mean what they say, and a non-finite loss stops the run, naming step and row."""

import pytest
import torch
from tiny import CLASSES, Pictures, tiny_trainer
from torch.nn import functional as F
from transformers import TrainerCallback

from hfmix import ERM, CutMix, MixTrainer, Mixup, RegMixup, mixed_cross_entropy
from hfmix.mixing import keyed_generator
from hfmix.training.metrics_log import TrainingLog

N = 10


def first_entry(trainer):
    trainer.train()
    return trainer.state.log_history[0]


def whole_batch(tmp_path, policy, **arguments):
    """A trainer whose first step sees the whole set in order, that step's plan, logits and labels."""
    trainer = tiny_trainer(
        tmp_path,
        policy,
        max_steps=1,
        per_device_train_batch_size=N,
        train_sampling_strategy="sequential",
        **arguments,
    )
    data = Pictures()
    plan = policy.sample(N, (3, 16, 16), keyed_generator(42, 0, 0, 0))
    with torch.no_grad():
        logits = trainer.model(plan.apply(data.x)).logits
    return trainer, plan, logits, data.y


def test_regmixup_logs_its_clean_and_mixed_parts(tmp_path):
    trainer, plan, logits, labels = whole_batch(tmp_path, RegMixup(20.0, eta=3.0))
    entry = first_entry(trainer)
    rows = mixed_cross_entropy(logits, plan.targets(labels), reduction="none")
    assert entry["loss_clean"] == pytest.approx(rows[:N].mean().item(), rel=1e-4)
    assert entry["loss_mixed"] == pytest.approx(rows[N:].mean().item(), rel=1e-4)
    assert entry["loss"] == pytest.approx((entry["loss_clean"] + 3 * entry["loss_mixed"]) / 4, rel=1e-4)
    assert entry["lambda"] == pytest.approx(plan.weight[N:, 0].mean().item())
    assert entry["examples_per_second"] > 0


@pytest.mark.parametrize("policy", [Mixup(1.0), CutMix(granularity="example"), ERM()], ids=str)
def test_accuracy_is_the_weight_of_the_predicted_label(tmp_path, policy):
    trainer, plan, logits, labels = whole_batch(tmp_path, policy)
    entry = first_entry(trainer)
    dense = plan.targets(labels).dense(CLASSES)
    assert entry["train_accuracy"] == pytest.approx(dense[range(N), logits.argmax(1)].mean().item(), abs=1e-6)
    assert ("loss_mixed" in entry) == ("lambda" in entry) == (policy != ERM())


def test_micro_batches_and_steps_add_up_between_log_lines(tmp_path):
    trainer = tiny_trainer(
        tmp_path, ERM(), n=8, max_steps=4, gradient_accumulation_steps=2, logging_steps=2, learning_rate=0.0
    )
    trainer.train()
    data = Pictures(8)
    with torch.no_grad():
        hits = (trainer.model(data.x).logits.argmax(1) == data.y).float().mean().item()
    entries = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["train_accuracy"] for entry in entries] == pytest.approx([hits, hits])


def test_callbacks_get_the_entries(tmp_path):
    seen = []

    class Listening(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            seen.append(dict(logs))

    trainer = tiny_trainer(tmp_path, RegMixup(), max_steps=1)
    trainer.add_callback(Listening)
    trainer.train()
    assert {"loss", "loss_clean", "loss_mixed", "train_accuracy", "lambda", "examples_per_second"} <= set(seen[0])


def test_a_loss_that_is_not_finite_stops_with_its_step_and_row(tmp_path):
    trainer = tiny_trainer(
        tmp_path, ERM(), per_device_train_batch_size=2, max_steps=6, train_sampling_strategy="sequential"
    )
    trainer.train_dataset.x[5, 0, 0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="not finite in step 2, first in row 1 of a batch of process 0"):
        trainer.train()


def test_on_a_device_it_is_found_at_the_next_log_line():
    log, plan = TrainingLog(), ERM().sample(4)
    targets = plan.targets(torch.zeros(4, dtype=torch.int64))
    for step, rows in enumerate([[1.0] * 4, [1.0, 1.0, float("inf"), 1.0], [float("nan")] * 4]):
        log.add(plan, targets, torch.zeros(4, 3), torch.tensor(rows), step)
    assert log.first_bad() == (1, 2)


class Labelled(Pictures):
    """Pictures with labels of another form."""

    def __init__(self, labels, name="labels"):
        super().__init__(len(labels))
        self.labels, self.name = labels, name

    def __getitem__(self, i):
        return {"pixel_values": self.x[i], self.name: self.labels[i]}


def retrained(trainer, data):
    """The same trainer on other data, and its first log entry."""
    trainer = MixTrainer(
        model=trainer.model, args=trainer.args, policy=trainer.policy, train_dataset=data, eval_dataset=data
    )
    with torch.no_grad():
        logits = trainer.model(data.x).logits
    loss = trainer.evaluate()["eval_loss"]
    return logits, loss, first_entry(trainer)


def test_soft_labels_have_the_loss_of_probabilities(tmp_path):
    soft = torch.rand(N, CLASSES, generator=torch.Generator().manual_seed(1)).softmax(1)
    trainer = whole_batch(tmp_path, ERM())[0]
    logits, evaluated, entry = retrained(trainer, Labelled(soft))
    assert entry["loss"] == pytest.approx(F.cross_entropy(logits, soft).item(), rel=1e-4)
    assert evaluated == pytest.approx(entry["loss"], rel=1e-4)
    assert entry["train_accuracy"] == pytest.approx(soft[range(N), logits.argmax(1)].mean().item(), rel=1e-5)
    assert trainer.model.config.problem_type is None  # which the stock Trainer would set, to binary cross-entropy


def test_multi_hot_labels_have_binary_cross_entropy(tmp_path):
    hot = (torch.rand(N, CLASSES, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    expected = F.binary_cross_entropy_with_logits
    trainer = whole_batch(tmp_path, ERM(), loss_kind="binary_cross_entropy")[0]
    logits, evaluated, entry = retrained(trainer, Labelled(hot))
    assert entry["loss"] == pytest.approx(expected(logits, hot).item(), rel=1e-4)
    assert evaluated == pytest.approx(entry["loss"], rel=1e-4)
    by_config = whole_batch(tmp_path, ERM())[0]
    by_config.model.config.problem_type = "multi_label_classification"
    logits, _, entry = retrained(by_config, Labelled(hot))
    assert entry["loss"] == pytest.approx(expected(logits, hot).item(), rel=1e-4)
    with pytest.raises(ValueError, match="mixed_binary_cross_entropy"):
        retrained(whole_batch(tmp_path, ERM())[0], Labelled(hot))


def test_soft_labels_accumulate_as_one_batch(tmp_path):
    soft = torch.rand(N, CLASSES, generator=torch.Generator().manual_seed(1)).softmax(1)
    losses = []
    for size, steps in ((N, 1), (4, 3)):
        trainer = tiny_trainer(
            tmp_path,
            ERM(),
            max_steps=1,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            train_sampling_strategy="sequential",
        )
        losses.append(retrained(trainer, Labelled(soft))[2]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_labels_of_another_name(tmp_path):
    labels = Pictures().y
    trainer = whole_batch(tmp_path, ERM(), label_names=["target"], remove_unused_columns=False)[0]
    logits, evaluated, entry = retrained(trainer, Labelled(labels, "target"))
    assert entry["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    assert evaluated == pytest.approx(entry["loss"], rel=1e-4)


def test_class_weights_do_not_enter_the_denominator(tmp_path):
    weights = [0.5, 2.0, 1.0, 3.0]
    trainer, plan, logits, labels = whole_batch(tmp_path, Mixup(1.0), class_weights=weights)
    expected = mixed_cross_entropy(logits, plan.targets(labels), weight=torch.tensor(weights))
    assert first_entry(trainer)["loss"] == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(ValueError, match="class_weights are finite and not negative"):
        tiny_trainer(tmp_path, class_weights=[1.0, -1.0])
