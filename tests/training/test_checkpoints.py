"""Which checkpoint a training goes on from, and which it refuses."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from shrink import randomize, tiny_model_of
from tiny import Pictures, tiny_trainer, weights
from torch import nn
from transformers import ResNetForImageClassification, ViTForImageClassification

from hfmix import MixTrainer, MixTrainingArguments, Mixup, RegMixup
from hfmix.train import _checkpoint
from hfmix.training.checkpoints import last_whole_checkpoint, restore_weights, what_is_broken


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of six steps with checkpoints at 2, 4 and 6; not to be changed."""
    folder = tmp_path_factory.mktemp("run")
    tiny_trainer(folder, Mixup(1.0), save_strategy="steps", save_steps=2).train()
    return folder


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def cut(file, share=0.5):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


DAMAGE = {
    "no trainer_state.json": lambda folder: (folder / "trainer_state.json").unlink(),
    "trainer_state.json is not JSON": lambda folder: cut(folder / "trainer_state.json"),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "model.safetensors: .*[Hh]eader": lambda folder: cut(folder / "model.safetensors", 0.01),
    "model.safetensors: .*incomplete": lambda folder: cut(folder / "model.safetensors", 0.9),
    "optimizer.pt is cut off": lambda folder: cut(folder / "optimizer.pt"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_broken_is_passed_over_and_named(copied, damage, caplog):
    newest = copied / "checkpoint-6"
    assert what_is_broken(newest) is None and last_whole_checkpoint(copied) == str(newest)
    DAMAGE[damage](newest)
    assert not caplog.records
    assert last_whole_checkpoint(copied) == str(copied / "checkpoint-4")
    (record,) = caplog.records
    message = record.getMessage()
    assert str(newest) in message and "\n" not in message
    with pytest.raises(ValueError, match=f"checkpoint-6: {damage}"):
        tiny_trainer(copied, Mixup(1.0)).train(resume_from_checkpoint=str(newest))


def test_a_run_goes_on_from_the_last_whole_checkpoint(copied, run):
    for step in (4, 6):
        cut(copied / f"checkpoint-{step}" / "model.safetensors")
    trainer = tiny_trainer(copied, Mixup(1.0))
    trainer.train(resume_from_checkpoint=True)
    straight = tiny_trainer(copied, Mixup(1.0))
    straight.train()
    assert torch.equal(weights(trainer), weights(straight))
    cut(copied / "checkpoint-2" / "model.safetensors")
    assert last_whole_checkpoint(copied) is None
    with pytest.raises(ValueError, match=f"no complete checkpoint in {copied}"):
        tiny_trainer(copied, Mixup(1.0)).train(resume_from_checkpoint=True)


def test_hfmix_train_goes_on_from_there_too(copied, tmp_path):
    args = MixTrainingArguments(output_dir=str(copied), use_cpu=True, resume_from_checkpoint="true")
    (copied / "checkpoint-6" / "trainer_state.json").unlink()
    assert _checkpoint(args, copied) == str(copied / "checkpoint-4")
    assert _checkpoint(args, tmp_path / "nowhere") is None  # killed before the first: from the beginning


class Linear(nn.Module):
    """A model that is none of transformers'."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3 * 16 * 16, 4)

    def forward(self, pixel_values):
        return {"logits": self.head(pixel_values.flatten(1))}


def test_other_models_are_restored_as_the_stock_trainer_does(tmp_path):
    found = []
    for resume in (None, str(tmp_path / "checkpoint-2")):
        args = tiny_trainer(tmp_path, max_steps=4, save_strategy="steps", save_steps=2, mix="mixup").args
        trainer = MixTrainer(model=Linear(), args=args, train_dataset=Pictures())
        assert not trainer._restores_all
        trainer.train(resume_from_checkpoint=resume)
        found.append(weights(trainer))
    assert torch.equal(*found)


@pytest.mark.parametrize("attribute", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_sharded_models_are_left_to_the_stock_trainer(tmp_path, attribute):
    trainer = tiny_trainer(tmp_path)
    assert trainer._restores_all
    setattr(trainer, attribute, True)
    assert not trainer._restores_all
    adapted = tiny_trainer(tmp_path)
    adapted.model._hf_peft_config_loaded = True
    assert not adapted._restores_all


def test_a_missing_shard_is_damage(tmp_path):
    model = tiny_model_of(ViTForImageClassification)
    model.save_pretrained(tmp_path, max_shard_size="50KB")
    (tmp_path / "trainer_state.json").write_text("{}")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1 and what_is_broken(tmp_path) is None
    restore_weights(model, tmp_path)
    shards[0].unlink()
    assert what_is_broken(tmp_path).startswith(f"{shards[0].name}: ")
    with pytest.raises(ValueError, match=shards[0].name):
        restore_weights(model, tmp_path)


OTHERS = {
    "policy": {"policy": RegMixup(20.0)},
    "seed 42, now 7": {"seed": 7},
    "per_device_train_batch_size 4, now 2": {"per_device_train_batch_size": 2},
    "gradient_accumulation_steps 1, now 2": {"gradient_accumulation_steps": 2},
    "num_train_examples 10, now 9": {"n": 9},
}


@pytest.mark.parametrize("difference", OTHERS)
def test_a_checkpoint_of_another_run_is_refused(run, tmp_path, difference):
    trainer = tiny_trainer(tmp_path, **{"policy": Mixup(1.0), **OTHERS[difference]})
    start = weights(trainer)
    with pytest.raises(ValueError, match=f"checkpoint-4 was written with {difference}") as refusal:
        trainer.train(resume_from_checkpoint=str(run / "checkpoint-4"))
    assert "\n" not in str(refusal.value) and torch.equal(weights(trainer), start)


def test_a_checkpoint_of_another_number_of_processes_is_refused(copied, tmp_path):
    facts = copied / "checkpoint-4" / "hfmix.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "world_size": 2}))
    with pytest.raises(ValueError, match="written with world_size 2, now 1"):
        tiny_trainer(tmp_path, Mixup(1.0)).train(resume_from_checkpoint=str(facts.parent))
    facts.write_text("{")
    with pytest.raises(ValueError, match=r"hfmix\.json is not JSON"):
        tiny_trainer(tmp_path, Mixup(1.0)).train(resume_from_checkpoint=str(facts.parent))
    facts.unlink()  # as the stock Trainer leaves it
    tiny_trainer(tmp_path, Mixup(1.0)).train(resume_from_checkpoint=str(facts.parent))


def test_other_learning_rates_and_more_steps_are_the_users_choice(run, tmp_path):
    trainer = tiny_trainer(tmp_path, Mixup(1.0), max_steps=8, learning_rate=1e-3)
    trainer.train(resume_from_checkpoint=str(run / "checkpoint-6"))
    assert trainer.state.global_step == 8


def change(checkpoint, edit):
    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("classifier.weight"), "it lacks classifier.weight"),
        (lambda t: t.update(other=torch.ones(1)), "the model lacks its other"),
        (lambda t: t.update({"classifier.bias": torch.ones(5)}), "it has another shape of classifier.bias"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, message):
    model = tiny_model_of(ViTForImageClassification)
    model.save_pretrained(tmp_path)
    change(tmp_path, edit)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=f"cannot restore ViTForImageClassification from {tmp_path}: {message}"):
        restore_weights(model, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_dtypes_stay(tmp_path):
    model = tiny_model_of(ViTForImageClassification).double()
    for parameter in model.parameters():
        parameter.data /= 3  # what float32 cannot hold
    model.classifier.half()
    model.config.dtype = torch.bfloat16  # what the weights were once loaded in
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    for parameter in model.parameters():
        parameter.data.zero_()
    restore_weights(model, tmp_path)
    restored = model.state_dict()
    assert restored["classifier.weight"].dtype == torch.float16
    assert all(torch.equal(restored[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("kind", [ResNetForImageClassification, ViTForImageClassification])
def test_a_model_with_another_head(tmp_path, kind):
    model = tiny_model_of(kind)
    width = 32 if kind is ViTForImageClassification else model.config.hidden_sizes[-1]
    model.classifier = nn.Sequential(nn.Flatten(), nn.Linear(width, 8), nn.Linear(8, 4))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path)
    randomize(model, seed=1)
    restore_weights(model, tmp_path)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert type(model) is kind
