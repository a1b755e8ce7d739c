"""The stock Trainer's options that make training cheaper or steadier change no mixed loss and no gradient."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils.data import default_collate
from transformers import EarlyStoppingCallback, TrainerCallback
from zoo import CLASSES, ZOO, Animal, gradient, trainer_of

from hfmix import (
    ERM,
    CutMix,
    DirichletMixup,
    InputMixup,
    ManifoldMixup,
    Mixup,
    OneOf,
    RegMixup,
    ResizeMix,
    TimeCutMix,
)
from hfmix.mixing import keyed_generator, mixing_at

ANIMALS = {animal.name: animal for animal in ZOO}
VIT, TIMM_VIT, SPEECH = (ANIMALS[name] for name in ("ViT", "timm ViT", "Wav2Vec2 (mask)"))
POLICIES = [
    ERM(),
    Mixup(1.0),
    CutMix(),
    ResizeMix(),
    RegMixup(20.0),
    RegMixup(20.0, ratio=0.25),
    ManifoldMixup(1.0, layers=("layers.0",)),
    DirichletMixup(3),
    InputMixup(),
    OneOf([Mixup(), CutMix(), ManifoldMixup(1.0, layers=("layers.0.attention",))], granularity="batch"),
]
CASES = [pytest.param(VIT, policy, id=str(policy)) for policy in POLICIES]
CASES += [
    pytest.param(SPEECH, policy, id=f"speech-{policy}")
    for policy in (TimeCutMix(), RegMixup(20.0, ratio=0.25), ManifoldMixup(1.0, layers=("layers.0",)))
]
N = 6
WEIGHTS = [0.5, 1.0, 2.0, 4.0]


def dense_gradient(animal, policy, smoothing=0.0, weights=(1.0,) * CLASSES, context=nullcontext):
    """The gradient of the textbook's loss of dense targets, for the plan of the first step's key."""
    model = trainer_of(animal, ".", N, policy).model.train()
    batch = default_collate([animal.make(N)[i] for i in range(N)])
    x, labels = batch[animal.input_name], batch.pop("labels")
    plan = policy.sample(
        N, tuple(x.shape[1:]), keyed_generator(42, 0, 0, 0), labels=labels, inputs=x, progress=0.0
    )
    inputs = plan.apply(batch) if plan.layer is None else batch
    if plan.layer is not None and animal.mask:
        inputs = {**batch, "attention_mask": plan.apply_mask(batch["attention_mask"])}
    with context(), mixing_at(model, plan):
        logits = model(**inputs).logits
    target = plan.targets(labels).dense(CLASSES) * (1.0 - smoothing) + smoothing / CLASSES
    rows = -(target * torch.tensor(weights) * logits.float().log_softmax(1)).sum(1)
    loss = (plan.row_weight * rows).sum() / N
    loss.backward()
    return torch.cat(
        [p.grad.flatten() if p.grad is not None else p.new_zeros(p.numel()) for p in model.parameters()]
    )


def error(found, expected):
    assert expected.norm() > 0.05
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(("animal", "policy"), CASES)
def test_label_smoothing_and_class_weights_are_the_dense_definition(tmp_path, animal, policy):
    settings = {"label_smoothing_factor": 0.2, "class_weights": WEIGHTS}
    found = gradient(trainer_of(animal, tmp_path, N, policy, **settings))
    expected = dense_gradient(animal, policy, 0.2, WEIGHTS)
    assert error(found, expected) < 1e-5 and error(dense_gradient(animal, policy), expected) > 0.01


@pytest.mark.parametrize(("animal", "policy"), CASES)
def test_bfloat16_is_the_nets_alone(tmp_path, animal, policy):
    """The same gradient as autocast around the forward pass only; mixing and loss stay in float32."""
    trainer, seen = trainer_of(animal, tmp_path, N, policy, bf16=True), {}
    trainer.model.get_submodule("classifier").register_forward_hook(
        lambda _, __, logits: seen.update(logits=logits.dtype)
    )
    loss_of = trainer.compute_loss_func
    trainer.compute_loss_func = lambda *args, **kwargs: seen.setdefault("loss", loss_of(*args, **kwargs))
    expected = dense_gradient(animal, policy, context=lambda: torch.autocast("cpu", torch.bfloat16))
    assert error(gradient(trainer), expected) < 1e-5
    assert seen["logits"] == torch.bfloat16 and seen["loss"].dtype == torch.float32
    # bfloat16 has 8 bits: the step is another one, but not by much
    assert 1e-4 < error(expected, dense_gradient(animal, policy)) < 0.1


@pytest.mark.parametrize("reentrant", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("animal", "policy"), CASES)
def test_checkpointing_recomputes_the_same(tmp_path, animal, policy, reentrant):
    settings = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": reentrant}}
    trainer = trainer_of(animal, tmp_path, N, policy, **settings)
    passes = []  # what lies within a checkpointed layer runs in the backward pass once more
    inner = next(m for name, m in trainer.model.named_modules() if name.endswith("layers.1.attention"))
    inner.register_forward_hook(lambda *_: passes.append(True))
    assert error(gradient(trainer), gradient(trainer_of(animal, tmp_path, N, policy))) < 1e-5
    assert len(passes) == 2


@pytest.mark.parametrize("layer", ["blocks.0", "blocks.1.mlp"])
def test_a_layer_within_a_checkpoint_mixes_again(tmp_path, layer):
    """timm calls its blocks inside the checkpoint, so that what is mixed there is recomputed too."""
    policy = ManifoldMixup(1.0, layers=(layer,))
    plain, saving = (
        gradient(trainer_of(TIMM_VIT, tmp_path, N, policy, activation_checkpointing=saving))
        for saving in (False, True)
    )
    assert error(saving, plain) < 1e-5


def test_a_shared_layer_within_a_checkpoint_is_refused(tmp_path):
    trainer = trainer_of(
        TIMM_VIT, tmp_path, N, ManifoldMixup(1.0, layers=("blocks.0",)), activation_checkpointing=True
    )
    blocks = trainer.model.timm_model.blocks
    blocks[1] = torch.nn.Sequential(blocks[0])
    with pytest.raises(ValueError, match=r"'blocks\.0' runs several times in a forward pass"):
        trainer.train()


COMPILED = [
    (VIT, RegMixup(20.0, ratio=0.25), 1),
    (TIMM_VIT, ManifoldMixup(1.0, layers=("input", "blocks.0")), 2),
    pytest.param(VIT, Mixup(1.0), 1, marks=pytest.mark.slow),
    pytest.param(VIT, CutMix(), 1, marks=pytest.mark.slow),
    pytest.param(VIT, ManifoldMixup(1.0, layers=("layers.0.attention",)), 1, marks=pytest.mark.slow),
    pytest.param(SPEECH, TimeCutMix(), None, marks=pytest.mark.slow),  # its own forward breaks the graph
    pytest.param(ANIMALS["timm ResNet"], RegMixup(20.0), 1, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("animal", "policy", "graphs"), COMPILED, ids=str)
def test_a_compiled_net_trains_the_same(tmp_path, animal, policy, graphs):
    """One graph for the net without a break, however the draws change, and one more for each layer that mixes."""
    settings = {"max_steps": 8, "learning_rate": 0.01, "per_device_train_batch_size": N}
    plain = gradient(trainer_of(animal, tmp_path, 2 * N, policy, **settings))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    settings |= {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    compiled = gradient(trainer_of(animal, tmp_path, 2 * N, policy, **settings))
    assert error(compiled, plain) < 1e-4
    counters = torch._dynamo.utils.counters
    assert graphs is None or (counters["stats"]["unique_graphs"] == graphs and not counters["graph_break"])


class Follow(TrainerCallback):
    """Averages the weights after each step by the definition."""

    def __init__(self, decay):
        self.decay, self.average = decay, None

    def on_optimizer_step(self, args, state, control, model, **kwargs):
        weights = torch.cat([p.detach().flatten().double() for p in model.parameters()])
        first = self.average is None
        self.average = weights if first else self.decay * self.average + (1.0 - self.decay) * weights


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("animal", "policy"), CASES)
def test_all_of_them_together_with_an_average(tmp_path, animal, policy, compiled):
    """What the average follows is what is evaluated, saved and restored."""
    settings = {
        "activation_checkpointing": True,
        "bf16": True,
        "class_weights": WEIGHTS,
        "ema_decay": 0.5,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "gradient_accumulation_steps": 2,
        "label_smoothing_factor": 0.1,
        "learning_rate": 0.05,
        "load_best_model_at_end": True,
        "max_grad_norm": 1.0,
        "max_steps": 4,
        "per_device_train_batch_size": 2,
        "save_steps": 2,
        "save_strategy": "steps",
        "torch_compile": compiled,
        "torch_compile_backend": "aot_eager" if compiled else None,
    }
    trainer, follow = trainer_of(animal, tmp_path, N, policy, **settings), Follow(0.5)
    trainer.add_callback(follow)
    trainer.train()
    history = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(history) == 2 and trainer.evaluate()["eval_loss"] == pytest.approx(min(history), rel=1e-5)
    if history[1] < history[0]:  # the best is the last, which the definition ended with
        end = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
        torch.testing.assert_close(end.double(), follow.average, rtol=1e-4, atol=1e-6)


def out_of_memory(trainer, rows, call=1):
    """Lets the forward pass run out of memory from its `call`-th time on where there are more rows than these."""
    calls = []

    def forward(_, args, kwargs):
        calls.append(True)
        if len(calls) >= call and len(kwargs["pixel_values"]) > rows:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 TiB")

    trainer.model.register_forward_pre_hook(forward, with_kwargs=True)


@pytest.mark.parametrize("policy", POLICIES[3:7], ids=str)
def test_a_smaller_batch_starts_as_if_it_had_been_asked_for(tmp_path, policy):
    """From 8 examples to 7 in the first step, and then the draws, losses and steps of 7."""
    settings = {"max_steps": 3, "learning_rate": 0.01}
    found = trainer_of(
        VIT, tmp_path, 8, policy, auto_find_batch_size=True, per_device_train_batch_size=8, **settings
    )
    expected = trainer_of(VIT, tmp_path, 8, policy, per_device_train_batch_size=7, **settings)
    out_of_memory(found, policy.sample(7, (3, 16, 16), keyed_generator(0)).num_rows)
    assert torch.equal(gradient(found), gradient(expected))
    losses = [
        [entry["loss"] for entry in trainer.state.log_history if "loss" in entry] for trainer in (found, expected)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_draws_begin_again_with_a_smaller_batch(tmp_path, monkeypatch):
    settings = {"auto_find_batch_size": True, "per_device_train_batch_size": 8, "max_steps": 4, "ema_decay": 0.5}
    trainer = trainer_of(VIT, tmp_path, 16, Mixup(1.0), **settings)
    drawn, draw = [], trainer._draw_plan
    monkeypatch.setattr(trainer, "_draw_plan", lambda *batch: drawn.append(draw(*batch)) or drawn[-1])
    out_of_memory(trainer, rows=7, call=3)
    trainer.train()
    sizes = [plan.num_inputs for plan in drawn]
    assert sizes == [8, 8, 8, 7, 7, 2, 7]
    weights = [plan.weight[0, 0].item() for plan in drawn]
    key = [keyed_generator(42, step, 0, 0) for step in (0, 1, 2, 0, 1, 2, 3)]
    expected = [
        Mixup(1.0).sample(size, (3, 16, 16), generator).weight[0, 0].item()
        for size, generator in zip(sizes, key, strict=True)
    ]
    assert weights == expected and weights[:3] == weights[3:6]


@pytest.mark.parametrize("policy", [Mixup(1.0), RegMixup(20.0, ratio=0.25)], ids=str)
def test_early_stopping_ends_with_the_best(tmp_path, policy):
    trainer = trainer_of(
        VIT,
        tmp_path,
        N,
        policy,
        max_steps=30,
        learning_rate=3.0,  # soon worse
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
    )
    trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=2))
    trainer.train()
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 30
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[best], rel=1e-5)


def freeze(animal: Animal, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Freezes all but the classifier, BatchNorm's statistics too; gives copies of what must stay."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "classifier" in name or ".fc." in name
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train = lambda mode=True, module=module: module
            module.eval().training = False
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained, animal
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name not in trained}


@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9}, {"bf16": True}, {"activation_checkpointing": True}])
@pytest.mark.parametrize("name", ["timm ResNet", "ViT", "Wav2Vec2 (mask)"])
def test_a_frozen_encoder_stays_and_the_head_learns_the_same(tmp_path, name, settings):
    animal, policy = ANIMALS[name], RegMixup(20.0, ratio=0.25)
    trainer = trainer_of(animal, tmp_path, N, policy, **settings)
    frozen = freeze(animal, trainer.model)
    head = torch.cat([p.requires_grad * torch.ones(p.numel()) for p in trainer.model.parameters()]).bool()
    found = gradient(trainer)
    assert not found[~head].any()
    assert error(found[head], dense_gradient(animal, policy)[head]) < (0.1 if "bf16" in settings else 1e-5)
    state = trainer.model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in frozen.items())
