"""Nets with adapters: trained with mixing, measured, saved and resumed, as with the stock Trainer."""

import pytest
import torch
from zoo import ZOO, gradient, trainer_of

from hfmix import ERM, ManifoldMixup, RegMixup

peft = pytest.importorskip("peft")
ANIMALS = {animal.name: animal for animal in ZOO}
TARGETS = {"ViT": ["q_proj", "v_proj"], "Wav2Vec2 (mask)": ["q_proj", "v_proj"], "timm ViT": ["qkv"]}
HEADS = {"ViT": ["classifier"], "Wav2Vec2 (mask)": ["projector", "classifier"], "timm ViT": ["timm_model.head"]}


def lora(trainer, name):
    """Puts adapters into the trainer's net, with the same weights each time."""
    torch.manual_seed(1)
    config = peft.LoraConfig(r=2, lora_dropout=0.0, target_modules=TARGETS[name], modules_to_save=HEADS[name])
    return peft.get_peft_model(trainer.model, config)


@pytest.fixture(params=TARGETS)
def adapted(request, tmp_path):
    """Builds a trainer of the adapted net, each time with the same weights."""

    def build(policy, folder="run", **settings):
        trainer = trainer_of(ANIMALS[request.param], tmp_path / folder, 6, policy, **settings)
        return type(trainer)(
            model=lora(trainer, request.param),
            args=trainer.args,
            policy=policy,
            train_dataset=trainer.train_dataset,
            eval_dataset=trainer.eval_dataset,
        )

    block = "blocks.0" if "timm" in request.param else "layers.0"
    build.policies = [ERM(), RegMixup(20.0, ratio=0.25), ManifoldMixup(1.0, layers=(block,))]
    return build


def tensors(trainer):
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def test_only_adapters_and_head_take_the_step(adapted):
    """LoRA begins as the plain net: B is 0, so that A has no gradient yet."""
    for policy in adapted.policies:
        trainer, frozen = adapted(policy), adapted(policy)
        names = [n for n, p in trainer.model.named_parameters() for _ in range(p.numel())]
        step = gradient(trainer)
        with frozen.model.disable_adapter():
            plain = frozen.evaluate()["eval_loss"]
        assert adapted(policy).evaluate()["eval_loss"] == pytest.approx(plain, rel=1e-6)
        moved = {name for name, moves in zip(names, step.ne(0).tolist(), strict=True) if moves}
        assert all("lora_B" in name or "modules_to_save" in name for name in moved)
        assert any("lora_B" in name for name in moved) and any("modules_to_save" in name for name in moved)


@pytest.mark.parametrize("average", [None, 0.5])
def test_a_resumed_run_ends_as_one_that_was_never_stopped(adapted, average):
    settings = {"max_steps": 4, "learning_rate": 0.1, "per_device_train_batch_size": 4, "ema_decay": average}
    for i, policy in enumerate(adapted.policies):
        straight = adapted(policy, f"straight{i}", **settings)
        straight.train()
        stopped = adapted(policy, f"stopped{i}", save_strategy="steps", save_steps=2, **settings)
        stopped.train()
        resumed = adapted(policy, f"stopped{i}", **settings)
        resumed.train(resume_from_checkpoint=f"{stopped.args.output_dir}/checkpoint-2")
        expected, found = tensors(straight), tensors(resumed)
        assert resumed.state.global_step == 4 and expected.keys() == found.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_the_best_adapters_are_loaded_and_saved(adapted, tmp_path):
    for i, policy in enumerate(adapted.policies):
        trainer = adapted(
            policy,
            f"best{i}",
            max_steps=6,
            learning_rate=0.5,
            eval_strategy="steps",
            eval_steps=1,
            save_strategy="steps",
            save_steps=1,
            load_best_model_at_end=True,
        )
        trainer.train()
        losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
        assert trainer.evaluate()["eval_loss"] == pytest.approx(min(losses), rel=1e-5)
        trainer.save_model(str(tmp_path / f"saved{i}"))
        again = adapted(policy)
        base = again.model.unload()
        again.model = again.model_wrapped = peft.PeftModel.from_pretrained(base, tmp_path / f"saved{i}")
        assert again.evaluate()["eval_loss"] == pytest.approx(min(losses), rel=1e-5)
        assert not list((tmp_path / f"saved{i}").glob("*.bin"))
