"""Manifold mixup mixes the output of the layer that its plan names, in any model, and nowhere else."""

import pytest
import timm
import torch
from torch import nn
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
)

from hfmix import ManifoldMixup, Mixup
from hfmix.mixing import keyed_generator, layer_names, mixing_at, pair_plan


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def test_the_layers_output_is_mixed_and_gradients_flow():
    model, x = net(), torch.randn(5, 4, requires_grad=True)
    plan = ManifoldMixup(1.0, layers=("1",)).sample(5, generator=keyed_generator(0))
    with mixing_at(model, plan):
        mixed = model(x)
    expected = model[2:](plan.apply(model[:2](x)))
    torch.testing.assert_close(mixed, expected)
    grad, expected_grad = (torch.autograd.grad(y.square().sum(), x)[0] for y in (mixed, expected))
    torch.testing.assert_close(grad, expected_grad)
    assert not model[1]._forward_hooks
    torch.testing.assert_close(model(x), model[2:](model[:2](x)))  # and no longer


def test_a_linear_layer_mixed_after_is_mixed_before():
    """Where everything up to the layer is linear, manifold mixup is mixup."""
    model, x = net(), torch.randn(6, 4)
    policy = ManifoldMixup(0.4, layers=["0"])
    plan = policy.sample(6, generator=keyed_generator(1))
    with mixing_at(model, plan):
        hidden = model(x)
    torch.testing.assert_close(hidden, model(plan.apply(x)))


def test_layers_are_drawn_uniformly_and_the_input_is_one():
    policy, generator = ManifoldMixup(layers=("input", "a", "b")), keyed_generator(2)
    drawn = [policy.sample(2, generator=generator).layer for _ in range(3000)]
    counts = [drawn.count(layer) for layer in (None, "a", "b")]
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 18.4  # chi-squared, 2 degrees of freedom, 1e-4
    assert ManifoldMixup(1.0).sample(2).layer is None
    first = Mixup(1.0).sample(8, generator=keyed_generator(3))
    assert torch.equal(ManifoldMixup(1.0).sample(8, generator=keyed_generator(3)).weight, first.weight)


BACKBONES = {
    "timm resnet": (lambda: timm.create_model("test_resnet", num_classes=3), (3, 32, 32), None),
    "timm vit": (lambda: timm.create_model("test_vit", num_classes=3, img_size=32), (3, 32, 32), None),
    "vit": (
        lambda: ViTForImageClassification(
            ViTConfig(
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=2,
                intermediate_size=16,
                image_size=16,
                patch_size=8,
            )
        ),
        (3, 16, 16),
        "vit.layers.0",
    ),
    "resnet": (
        lambda: ResNetForImageClassification(
            ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        ),
        (3, 32, 32),
        "resnet.encoder.stages.0",
    ),
    "wav2vec2": (
        lambda: Wav2Vec2ForSequenceClassification(
            Wav2Vec2Config(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=16,
                conv_dim=(8, 8),
                conv_stride=(4, 4),
                conv_kernel=(8, 4),
                num_feat_extract_layers=2,
                num_conv_pos_embeddings=4,
                num_conv_pos_embedding_groups=2,
                classifier_proj_size=8,
            )
        ),
        (400,),
        "wav2vec2.encoder.layers.0",
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_suggested_layers_can_be_mixed_in_any_backbone(name):
    """λ = 0 at any layer gives the partner's logits, whatever the model."""
    build, shape, expected = BACKBONES[name]
    torch.manual_seed(0)
    model, x = build().eval(), torch.randn(4, *shape)
    names = layer_names(model)
    assert names and (expected is None or expected in names)
    plain = model(x)
    partner = torch.tensor([2, 0, 3, 1])
    for layer in names:
        plan = pair_plan(torch.zeros(4).double().numpy(), partner.numpy(), layer=layer)
        with mixing_at(model, plan):
            mixed = model(x)
        logits, swapped = (y if isinstance(y, torch.Tensor) else y.logits for y in (plain, mixed))
        torch.testing.assert_close(swapped, logits[partner], rtol=1e-4, atol=1e-5)


def test_a_name_finds_its_layer_in_a_wrapper_too():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = timm.create_model("test_resnet", num_classes=3)

        def forward(self, x):
            return self.inner(x)

    model, x = Wrapper().eval(), torch.randn(4, 3, 32, 32)
    plan = ManifoldMixup(layers="layer1").sample(4, generator=keyed_generator(4))
    with mixing_at(model, plan):
        wrapped = model(x)
    with mixing_at(model.inner, plan):
        torch.testing.assert_close(model.inner(x), wrapped)


def test_layers_that_are_not_there_or_do_not_run_are_named():
    plan = ManifoldMixup(layers="layer9").sample(4)
    with pytest.raises(ValueError, match="ResNet has no layer 'layer9': did you mean layer"):  # noqa: SIM117
        with mixing_at(timm.create_model("test_resnet"), plan):
            pass
    model = net()
    with pytest.raises(ValueError, match="layer '1' did not run"):  # noqa: SIM117
        with mixing_at(model, ManifoldMixup(layers="1").sample(4)):
            model[0](torch.zeros(4, 4))
    for layers in ((), "", [3], None):
        with pytest.raises(ValueError, match="manifold_mixup: layers are names of modules"):
            ManifoldMixup(layers=layers)
