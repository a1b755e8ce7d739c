"""Customised trainers: subclasses, callbacks, optimizers, metrics and odd data sets."""

import numpy as np
import pytest
import torch
from datasets import Dataset as TableDataset
from tiny import Pictures, tiny_model, tiny_trainer, weights
from torch.nn import functional as F
from torch.utils.data import Dataset, IterableDataset
from transformers import TrainerCallback, ViTImageProcessor

from hfmix import ERM, CutMix, ManifoldMixup, MixTrainer, Mixup, OneOf, RegMixup

POLICIES = [
    ERM(),
    Mixup(1.0),
    RegMixup(20.0, ratio=0.25),
    ManifoldMixup(1.0, layers=("blocks.0",)),
    OneOf([Mixup(), CutMix()]),
]
EACH_POLICY = pytest.mark.parametrize("policy", POLICIES, ids=str)


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def like(trainer, **changes):
    """A MixTrainer with the same arguments, policy and data, and other parts."""
    parts = {
        "args": trainer.args,
        "policy": trainer.policy,
        "train_dataset": trainer.train_dataset,
        "eval_dataset": trainer.eval_dataset,
        **changes,
    }
    if "model_init" not in parts:
        parts.setdefault("model", tiny_model())
    return MixTrainer(**parts)


class Halved(MixTrainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        return (loss / 2, outputs) if return_outputs else loss / 2


class Own(MixTrainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        return F.cross_entropy(model(**inputs).logits, labels)


@EACH_POLICY
def test_a_subclass_adds_to_the_loss_or_is_told(tmp_path, policy):
    settings = {"max_steps": 1, "train_sampling_strategy": "sequential"}
    plain = tiny_trainer(tmp_path, policy, **settings)
    plain.train()
    parts = {"args": plain.args, "policy": policy, "train_dataset": plain.train_dataset}
    halved = Halved(model=tiny_model(), **parts)
    halved.train()
    assert losses(halved) == pytest.approx([losses(plain)[0] / 2], rel=1e-6)
    with pytest.raises(TypeError, match=r"Own\.compute_loss does not call MixTrainer's, so that nothing is mixed"):
        Own(model=tiny_model(), **parts).train()


class Events(TrainerCallback):
    def __init__(self):
        self.steps, self.logs = [], []

    def on_step_end(self, args, state, control, **kwargs):
        self.steps.append(state.global_step)

    def on_log(self, args, state, control, logs, **kwargs):
        self.logs.append(set(logs))


@EACH_POLICY
def test_callbacks_optimizers_and_processing_class(tmp_path, policy):
    settings = {"max_steps": 3, "gradient_accumulation_steps": 2, "train_sampling_strategy": "sequential"}
    named = tiny_trainer(
        tmp_path, policy, optim="sgd", learning_rate=0.1, lr_scheduler_type="constant", **settings
    )
    named.train()
    model, events = tiny_model(), Events()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    given = like(
        named,
        model=model,
        callbacks=[events],
        optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)),
        processing_class=ViTImageProcessor(),
    )
    given.train()
    assert torch.equal(weights(given), weights(named)) and losses(given) == losses(named)
    mixed = set() if policy == ERM() else {"loss_mixed"}
    assert events.steps == [1, 2, 3] and len(events.logs) == 4
    assert all({"loss", "train_accuracy", "examples_per_second", "grad_norm"} <= logs for logs in events.logs[:3])
    assert mixed <= set.union(*events.logs)
    given.save_model()
    assert (tmp_path / "preprocessor_config.json").is_file()


@EACH_POLICY
def test_model_init_and_the_model_train_the_same(tmp_path, policy):
    settings = {"max_steps": 2, "train_sampling_strategy": "sequential"}
    given = tiny_trainer(tmp_path, policy, **settings)
    made = like(given, model_init=tiny_model)
    for trainer in (given, made, made):
        trainer.train()
        assert torch.equal(weights(trainer), weights(given))


class Stream(IterableDataset):
    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __iter__(self):
        return (self.data[i % len(self.data)] for i in range(24))


@EACH_POLICY
def test_a_stream_of_a_length_that_nobody_knows(tmp_path, policy):
    known = tiny_trainer(tmp_path, policy, n=24, max_steps=5, train_sampling_strategy="sequential")
    streamed = like(known, train_dataset=Stream(Pictures(24)), eval_dataset=Stream(Pictures(24)))
    for trainer in (known, streamed):
        trainer.train()
    assert torch.equal(weights(known), weights(streamed))
    assert streamed.evaluate()["eval_loss"] == pytest.approx(known.evaluate()["eval_loss"], rel=1e-6)


def summary(prediction):
    """What metrics are given: predictions after preprocessing, labels, inputs and losses."""
    assert prediction.inputs.shape[1:] == (3, 16, 16)
    return {"right": int((prediction.predictions == prediction.label_ids).sum()), "n": len(prediction.losses)}


@EACH_POLICY
@pytest.mark.parametrize("accumulation", [None, 1])
def test_metrics_of_several_sets_see_what_they_ask_for(tmp_path, policy, accumulation):
    settings = {"include_for_metrics": ["inputs", "loss"], "eval_accumulation_steps": accumulation}
    trainer = like(
        tiny_trainer(tmp_path, policy, per_device_eval_batch_size=4, max_steps=1, **settings),
        eval_dataset={"small": Pictures(6), "large": Pictures(10)},
        compute_metrics=summary,
        preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
    )
    trainer.train()
    metrics = trainer.evaluate()
    for name, n in (("small", 6), ("large", 10)):
        data = Pictures(n)
        with torch.no_grad():
            logits = trainer.model.eval()(data.x).logits
        assert metrics[f"eval_{name}_loss"] == pytest.approx(F.cross_entropy(logits, data.y).item(), rel=1e-5)
        assert metrics[f"eval_{name}_right"] == int((logits.argmax(1) == data.y).sum())
        assert metrics[f"eval_{name}_n"] == n


class WithoutLabels(Pictures):
    def __getitem__(self, i):
        return {"pixel_values": self.x[i]}


@EACH_POLICY
def test_predict_with_and_without_labels(tmp_path, policy):
    trainer, data = tiny_trainer(tmp_path, policy, per_device_eval_batch_size=3), Pictures()
    with torch.no_grad():
        logits = trainer.model.eval()(data.x).logits
    for examples, labelled in ((data, True), (WithoutLabels(), False)):
        found = trainer.predict(examples)
        torch.testing.assert_close(torch.from_numpy(found.predictions), logits)
        assert ("test_loss" in found.metrics) == labelled
        assert (found.label_ids is None) != labelled
    assert trainer.predict(data).label_ids.tolist() == data.y.tolist()


LABELS = {
    "int": int,
    "numpy int64": np.int64,
    "numpy int32": np.int32,
    "numpy array": lambda y: np.array(int(y)),
    "tensor": lambda y: y,
}


CASES = [(kind, key) for kind in LABELS for key in ("labels", "label") if (kind, key) != ("numpy array", "label")]


@pytest.mark.parametrize(("kind", "key"), CASES)
def test_labels_of_any_kind_are_the_same_labels(tmp_path, kind, key):
    settings = {"max_steps": 2, "train_sampling_strategy": "sequential"}
    expected = tiny_trainer(tmp_path, RegMixup(20.0), **settings)
    data = Pictures()
    examples = [{"pixel_values": x, key: LABELS[kind](y)} for x, y in zip(data.x, data.y, strict=True)]
    found = like(expected, train_dataset=examples, eval_dataset=examples)
    for trainer in (expected, found):
        trainer.train()
    assert torch.equal(weights(found), weights(expected))
    assert found.evaluate()["eval_loss"] == expected.evaluate()["eval_loss"]


@EACH_POLICY
@pytest.mark.parametrize("remove", [False, True])
def test_columns_that_the_net_does_not_take(tmp_path, policy, remove):
    """Removed if asked, also in a `datasets.Dataset` and under the label's own name; else named."""
    settings = {"max_steps": 2, "train_sampling_strategy": "sequential", "remove_unused_columns": remove}
    expected, data = tiny_trainer(tmp_path, policy, **settings), Pictures()
    expected.train()
    rows = {"pixel_values": data.x.tolist(), "breed": data.y.tolist(), "picture_id": list(range(10))}
    table = TableDataset.from_dict(rows).with_format("torch")
    found = tiny_trainer(tmp_path, policy, label_names=["breed"], **settings)
    found.train_dataset = found.eval_dataset = table
    if not remove:
        with pytest.raises(ValueError, match="the batch holds picture_id beside pixel_values and labels"):
            found.train()
        return
    found.train()
    assert torch.equal(weights(found), weights(expected))
    assert found.evaluate()["eval_loss"] == pytest.approx(expected.evaluate()["eval_loss"], rel=1e-6)


def test_tensorboard_gets_what_is_logged(tmp_path):
    board = pytest.importorskip("tensorboardX")
    trainer = tiny_trainer(tmp_path, RegMixup(20.0), max_steps=2, report_to="tensorboard")
    callback = next(c for c in trainer.callback_handler.callbacks if "TensorBoard" in type(c).__name__)
    callback.tb_writer, written = board.SummaryWriter(str(tmp_path / "board")), {}
    add = callback.tb_writer.add_scalar

    def record(name, value, step):
        written.setdefault(name, value)
        add(name, value, step)

    callback.tb_writer.add_scalar = record
    trainer.train()
    names = ("loss", "loss_clean", "loss_mixed", "lambda", "train_accuracy", "examples_per_second", "grad_norm")
    assert {f"train/{name}" for name in names} <= written.keys()
    first = trainer.state.log_history[0]
    assert all(written[f"train/{name}"] == first[name] for name in names)
    assert any((tmp_path / "board").glob("*tfevents*"))
