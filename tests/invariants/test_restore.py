"""Every tensor of a checkpoint comes back, bit for bit, in every class that transformers classifies with."""

import pytest
import torch
import transformers
from shrink import randomize, tiny_model_of
from transformers import Trainer, TrainingArguments
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
)

from hfmix import MixTrainer, MixTrainingArguments
from hfmix.training.checkpoints import restore_weights

MAPPINGS = (MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING)
MAPPED = [kind for mapping in MAPPINGS for kind in mapping.values()]
FLAT = {kind for kinds in MAPPED for kind in (kinds if isinstance(kinds, tuple) else (kinds,))}
CLASSES = sorted(FLAT, key=lambda kind: kind.__name__)


def test_every_class_is_here():
    assert len(CLASSES) >= 58


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_tensor_comes_back(tmp_path, kind, monkeypatch):
    if kind.__name__.startswith("Dinat"):  # its attention is a package of compiled kernels; its weights are not
        monkeypatch.setattr("transformers.models.dinat.modeling_dinat.requires_backends", lambda *_: None)
    model = tiny_model_of(kind)
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    randomize(model, seed=1)
    before = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    perturbed = model.state_dict()
    assert not any(torch.equal(perturbed[name], saved[name]) for name in saved if saved[name].is_floating_point())
    restore_weights(model, tmp_path)
    assert [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, saved[name])] == []
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == before


# of several of the 12 classes that the stock Trainer does not restore
OLD_NAMES = ("ViT", "DeiT", "Swin", "Beit", "Dinov2", "Segformer")


class Examples(torch.utils.data.Dataset):
    """Six random pictures with labels."""

    def __len__(self):
        return 6

    def __getitem__(self, i):
        picture = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(i))
        return {"pixel_values": picture, "labels": i % 4}


def trainer_of(family, folder, kind=MixTrainer, **arguments):
    """A trainer of a tiny model that takes four steps and evaluates after each."""
    model = tiny_model_of(getattr(transformers, f"{family}ForImageClassification"))
    torch.manual_seed(0)
    model.init_weights()
    defaults = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 3,
        "max_steps": 4,
        "learning_rate": 1e-2,
        "save_strategy": "steps",
        "save_steps": 1,
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": True,
    }
    arguments = {**defaults, **arguments}
    args = MixTrainingArguments(mix="mixup", **arguments) if kind is MixTrainer else TrainingArguments(**arguments)
    return kind(model=model, args=args, train_dataset=Examples(), eval_dataset=Examples())


def state_of(trainer):
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def differing(first, second):
    return [name for name in first if not torch.equal(first[name], second[name])]


def best_and_restored(family, folder, kind):
    """The weights after step 1, which a metric declares the best, and those that the training ends with."""
    trainer = trainer_of(
        family,
        folder,
        kind,
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
    )
    seen = {}

    def evaluate(*_, **__):
        step = trainer.state.global_step
        seen[step] = state_of(trainer)
        return {"eval_loss": float(step)}

    trainer.evaluate = evaluate
    trainer.train()
    assert len(seen) == 4 and trainer.state.best_model_checkpoint.endswith("checkpoint-1")
    assert differing(seen[1], seen[4])
    return seen[1], state_of(trainer)


@pytest.mark.parametrize("family", OLD_NAMES)
def test_the_best_model_is_loaded_whole(tmp_path, family):
    best, restored = best_and_restored(family, tmp_path, MixTrainer)
    assert differing(best, restored) == []


@pytest.mark.parametrize("family", OLD_NAMES)
def test_a_resumed_run_has_every_weight(tmp_path, family):
    straight = trainer_of(family, tmp_path)
    straight.train()
    resumed = trainer_of(family, tmp_path, learning_rate=1e-2)
    randomize(resumed.model, seed=1)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert differing(state_of(straight), state_of(resumed)) == []


def test_the_stock_trainer_drops_weights(tmp_path):
    """What these tests are for. A transformers that restores all makes hfmix.training.checkpoints superfluous."""
    best, restored = best_and_restored("ViT", tmp_path / "best", Trainer)
    dropped = differing(best, restored)
    assert dropped and all("attention" in name or "layer" in name for name in dropped)
    straight, resumed = (trainer_of("ViT", tmp_path / "resume", Trainer) for _ in range(2))
    straight.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "resume" / "checkpoint-2"))
    assert differing(state_of(straight), state_of(resumed))
