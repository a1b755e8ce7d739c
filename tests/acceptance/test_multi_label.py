"""Several labels an example, from the data to the saved config: which digits stand side by side."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from tiny import Pictures, tiny_trainer
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import AutoConfig
from zoo import ZOO, gradient, trainer_of

from hfmix import CutMix, ManifoldMixup, MixTrainer, MixTrainingArguments, Mixup, RegMixup, load_backbone
from hfmix.mixing import keyed_generator, mixing_at

VIT = next(animal for animal in ZOO if animal.name == "ViT")
CLASSES = 5


class Pairs(Dataset):
    """`n` pictures of two digits below 5 side by side, with the multi-hot (5,) of which they are."""

    def __init__(self, first: int, n: int) -> None:
        digits = load_digits(n_class=CLASSES)
        draw = np.random.default_rng(first).permutation(np.arange(first, first + n).repeat(2)).reshape(n, 2)
        pictures = torch.tensor(digits.images[draw] / 8.0 - 1.0, dtype=torch.float32)  # (n, 2, 8, 8)
        wide = torch.cat([pictures[:, 0], pictures[:, 1]], 2)
        self.x = F.interpolate(wide[:, None], size=(16, 16)).expand(-1, 3, -1, -1)
        self.y = F.one_hot(torch.tensor(digits.target[draw]), CLASSES).amax(1)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.x[i], "labels": self.y[i]}


def precision(prediction):
    return {"map": average_precision_score(prediction.label_ids, prediction.predictions, average="macro")}


@pytest.mark.parametrize("policy", [RegMixup(20.0), pytest.param(CutMix(), marks=pytest.mark.slow)], ids=str)
def test_digits_side_by_side_are_found(tmp_path, policy):
    """Guessing has the mean average precision of the labels' share, about 0.36."""
    train, test = Pairs(0, 400), Pairs(400, 300)
    torch.manual_seed(0)
    model = load_backbone("test_resnet", list("01234"), pretrained=False)[0]
    args = MixTrainingArguments(
        output_dir=str(tmp_path),
        loss_kind="binary_cross_entropy",
        num_train_epochs=4,
        per_device_train_batch_size=25,
        learning_rate=3e-3,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = MixTrainer(
        model=model,
        args=args,
        policy=policy,
        train_dataset=train,
        eval_dataset=test,
        compute_metrics=precision,
    )
    share = test.y.float().mean().item()
    assert 0.3 < share < 0.4
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_map"] > 0.6, metrics
    with torch.no_grad():
        expected = F.binary_cross_entropy_with_logits(trainer.model.eval()(test.x).logits, test.y.float())
    assert metrics["eval_loss"] == pytest.approx(expected.item(), rel=1e-4)
    trainer.save_model()
    assert AutoConfig.from_pretrained(tmp_path).problem_type == "multi_label_classification"


@pytest.mark.parametrize(
    "policy", [Mixup(1.0), RegMixup(20.0, ratio=0.25), CutMix(), ManifoldMixup(1.0, layers=("layers.0",))], ids=str
)
@pytest.mark.parametrize("soft", [False, True])
def test_the_step_is_down_the_dense_loss(tmp_path, policy, soft):
    """Multi-hot integers and soft shares, with class weights and label smoothing, counted once an example."""
    n, weights, generator = 6, [1.0, 2.0, 0.5, 4.0], torch.Generator().manual_seed(0)
    trainer = trainer_of(
        VIT,
        tmp_path,
        n,
        policy,
        loss_kind="binary_cross_entropy",
        class_weights=weights,
        label_smoothing_factor=0.1,
    )
    x = trainer.train_dataset.x
    y = torch.rand(n, 4, generator=generator)
    y = y if soft else (y > 0.5).long()
    trainer.train_dataset = [{"pixel_values": a, "labels": b} for a, b in zip(x, y, strict=True)]
    model = trainer_of(VIT, tmp_path, n, policy).model.train()
    plan = policy.sample(n, tuple(x.shape[1:]), keyed_generator(42, 0, 0, 0), labels=y, inputs=x, progress=0.0)
    with mixing_at(model, plan):
        logits = model(x if plan.layer else plan.apply(x)).logits
    target = 0.9 * plan.targets(y).dense(4) + 0.1 / 4
    rows = F.binary_cross_entropy_with_logits(logits, target, torch.tensor(weights), reduction="none").mean(1)
    (torch.dot(plan.row_weight, rows) / n).backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    torch.testing.assert_close(gradient(trainer), expected, rtol=1e-4, atol=1e-5 * expected.norm().item())


def test_the_config_says_what_the_labels_are(tmp_path):
    data = Pictures()
    hot = [{"pixel_values": x, "labels": F.one_hot(y, 4)} for x, y in zip(data.x, data.y, strict=True)]

    def trained(examples, **settings):
        trainer = tiny_trainer(tmp_path, Mixup(1.0), max_steps=1, **settings)
        trainer.train_dataset = examples
        trainer.train()
        return trainer.model.config.problem_type

    assert trained(hot, loss_kind="binary_cross_entropy") == "multi_label_classification"
    assert trained(hot) is None  # soft labels of one class: a cross-entropy
    assert trained(data, loss_kind="binary_cross_entropy") is None  # classes trained one against the rest
    several = [{**example, "labels": torch.ones(4)} for example in hot]
    with pytest.raises(ValueError, match=r"sum to 4 in row .*loss_kind binary_cross_entropy"):
        trained(several)
