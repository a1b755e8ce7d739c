"""Properties of every net in hfmix.models: published size, timm's interface, training, saving and loading."""

import math

import pytest
import timm
import torch
from torch.nn import functional as F
from transformers import AutoModelForImageClassification, TimmWrapperConfig, TimmWrapperForImageClassification

import hfmix.models
from hfmix.mixing import layer_names
from hfmix.models.loading import load_backbone, load_processor, save_backbone

# the same classes, small enough to train here
TINY = {
    "airbench96_cifar": {"widths": (4, 6, 8), "logit_scale": 1.0},
    "airbench_cifar": {"widths": (4, 6, 8), "logit_scale": 1.0},
    "densenet_bc_190": {"depth": 16, "growth_rate": 4},
    "lenet_audio": {"pool_size": (3, 4)},
    "mlp_table": {},
    "preact_resnet18": {"depths": (1, 1), "widths": (8, 16), "stem_width": 8},
    "preact_resnet18_mixup": {"depths": (1, 1), "widths": (8, 16), "stem_width": 8},
    "resnet20_cifar": {"depth": 1},
    "resnet50_cifar": {"layers": (1, 1, 1, 1), "channels": (8, 16, 32, 64)},
    "vgg11_audio": {"widths": ((8,), (8,), (8, 16))},
    "wrn16_4": {"depth": 10, "width": 2, "proj_drop_rate": 0.1},
    "wrn28_10": {"depth": 16, "width": 1},
}
IMAGE_NETS = sorted(name for name in TINY if name not in ("lenet_audio", "mlp_table", "vgg11_audio"))
LABELS = ["cat", "dog", "eel"]


def tiny(name, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **TINY[name], **kwargs)


def batch_for(name, size=4, seed=0):
    shape = (4,) if name == "mlp_table" else (1, 40, 33) if name.endswith("audio") else (3, 16, 16)
    return torch.randn(size, *shape, generator=torch.Generator().manual_seed(seed))


def test_all_are_exported_and_registered():
    assert sorted(TINY) == [name for name in hfmix.models.__all__ if name.islower()]
    assert all(timm.is_model(name) for name in TINY)


@pytest.mark.parametrize(
    ("name", "kwargs", "published"),
    [
        ("resnet20_cifar", {}, 269_722),  # arXiv 1512.03385, table 6: 0.27 M
        (
            "resnet50_cifar",
            {},
            23_520_842,
        ),  # kuangliu/pytorch-cifar's ResNet50, the same net as in RegMixup's code
        # KellerJordan/cifar10-airbench: the sums of its layers, without BatchNorm's unused scales
        ("airbench_cifar", {}, 312 + 9 * (24 * 64 + 64**2 + 64 * 256 + 3 * 256**2) + 2 * 576 + 2560),
        ("airbench96_cifar", {}, 9_915_704),
        ("preact_resnet18", {}, 11_171_146),  # kuangliu/pytorch-cifar's PreActResNet18
        ("preact_resnet18_mixup", {}, 11_171_146 + 2 * 64),  # and a BatchNorm after the stem
        ("wrn28_10", {}, 36_479_194),  # arXiv 1605.07146: 36.5 M; this and the next three from osmr/imgclsmob
        ("wrn28_10", {"num_classes": 100}, 36_536_884),
        ("wrn28_10", {"depth": 16}, 17_116_634),
        ("wrn28_10", {"depth": 40, "width": 8}, 35_748_314),
        ("wrn16_4", {}, 2_748_890),  # 2.7 M in the distillation literature
        ("densenet_bc_190", {}, 25_624_430),  # arXiv 1608.06993, table 2: 25.6 M; osmr/imgclsmob
        ("densenet_bc_190", {"num_classes": 100}, 25_821_620),  # osmr/imgclsmob
        ("densenet_bc_190", {"depth": 100, "growth_rate": 12}, 769_162),  # table 2: 0.8 M; osmr/imgclsmob
        # adiyoss/GCommandsPytorch: the sums of its layers on a 161×101 input and 30 classes
        ("lenet_audio", {"pool_size": (37, 22)}, 520 + 10_020 + 16_281_000 + 30_030),
        ("vgg11_audio", {"pool_size": (5, 3)}, 9_219_328 + 5_504 + 7681 * 512 + 513 * 30),
        # arXiv 1710.09412, section 3.6: two hidden layers of 128
        ("mlp_table", {"in_chans": 8, "num_classes": 29}, 9 * 128 + 129 * 128 + 129 * 29),
    ],
)
def test_it_has_the_published_size(name, kwargs, published):
    with torch.device("meta"):
        model = timm.create_model(name, **kwargs)
    assert sum(p.numel() for p in model.parameters()) == published


@pytest.mark.parametrize(
    ("name", "size", "features"),
    [
        ("resnet20_cifar", (3, 32, 32), (64, 8, 8)),
        ("resnet20_cifar", (3, 45, 64), (64, 12, 16)),
        ("resnet50_cifar", (3, 32, 32), (2048, 4, 4)),
        ("resnet50_cifar", (3, 64, 48), (2048, 8, 6)),
        ("airbench_cifar", (3, 32, 32), (256, 3, 3)),
        ("airbench96_cifar", (3, 45, 64), (512, 5, 7)),
        ("preact_resnet18", (3, 32, 32), (512, 4, 4)),
        ("preact_resnet18_mixup", (3, 64, 45), (512, 8, 6)),
        ("wrn28_10", (3, 32, 32), (640, 8, 8)),
        ("wrn28_10", (3, 45, 64), (640, 12, 16)),
        ("densenet_bc_190", (3, 32, 32), (2190, 8, 8)),
        ("densenet_bc_190", (3, 64, 45), (2190, 16, 11)),
        ("lenet_audio", (1, 64, 101), (20, 13, 22)),
        ("lenet_audio", (1, 161, 101), (20, 37, 22)),
        ("vgg11_audio", (1, 64, 101), (512, 2, 3)),
        ("vgg11_audio", (1, 161, 101), (512, 5, 3)),
        ("mlp_table", (4,), (128,)),
    ],
)
def test_maps_and_logits_have_timm_s_shapes(name, size, features):
    with torch.device("meta"), torch.inference_mode():
        model = timm.create_model(name, num_classes=7).eval()
        x = torch.empty(2, *size)
        assert model.forward_features(x).shape == (2, *features)
        assert model(x).shape == (2, 7)
        assert model.forward_head(model.forward_features(x), pre_logits=True).shape == (2, model.head_hidden_size)
        assert model.num_features == features[0]
        model.reset_classifier(0, "")
        assert model(x).shape == (2, *features)
    cfg = timm.get_pretrained_cfg(name)
    assert cfg.input_size[0] == size[0]
    assert len(cfg.mean) == len(cfg.std) == (3 if name in IMAGE_NETS else 1)
    assert model.get_submodule(cfg.classifier) is model.get_classifier()
    assert model.get_submodule(cfg.first_conv).weight.shape[1] == size[0]


@pytest.mark.parametrize("name", TINY)
def test_training_reaches_every_parameter_and_lowers_the_loss(name):
    model = tiny(name, num_classes=3)
    x, labels = batch_for(name, size=6), torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(8):
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            trained = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
            without = [key for key, p in trained if p.grad is None or not p.grad.any()]
            assert not without
        optimizer.step()
        losses.append(loss.item())
    assert math.isfinite(losses[-1])
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", TINY)
def test_a_new_classifier_leaves_the_rest(name):
    model = tiny(name, num_classes=3).double().eval()
    x = batch_for(name).double()
    model(x)
    before = {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("fc.")}
    features = model.forward_head(model.forward_features(x), pre_logits=True)
    model.reset_classifier(5)
    logits = model(x)
    assert logits.shape == (len(x), model.num_classes) == (len(x), 5)
    assert torch.equal(model(x), logits)
    torch.testing.assert_close(logits, model.get_classifier()(features))
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    model.reset_classifier(0)
    assert torch.equal(model(x), features)
    assert (
        tiny(name, num_classes=0, in_chans=2).get_submodule(model.pretrained_cfg["first_conv"]).weight.shape[1]
        == 2
    )


@pytest.mark.parametrize("name", TINY)
def test_it_compiles_whole_and_takes_channels_last(name):
    model = tiny(name, num_classes=3).eval()
    x = batch_for(name)
    expected = model(x)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), expected)
    if x.ndim == 4:
        model.to(memory_format=torch.channels_last)
        got = model(x.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_saved_it_is_the_same_in_hfmix_transformers_and_timm(name, tmp_path):
    """The wrapper holds the nets for sound and tables as well; only its image processor is not for them."""
    cfg = timm.get_pretrained_cfg(name).to_dict()
    config = TimmWrapperConfig(
        architecture=name,
        num_labels=3,
        label2id={label: i for i, label in enumerate(LABELS)},
        model_args=TINY[name],
        pretrained_cfg={key: cfg[key] for key in ("input_size", "mean", "std", "interpolation", "crop_pct")},
    )
    config.id2label = dict(enumerate(LABELS))
    torch.manual_seed(0)
    model = TimmWrapperForImageClassification(config).eval()
    x = batch_for(name)
    model.train()(x)  # so that running statistics are not the initial ones
    expected = model.eval()(x).logits
    assert expected.std() > 0
    save_backbone(model, load_processor(config, name), tmp_path)
    assert torch.equal(AutoModelForImageClassification.from_pretrained(tmp_path).eval()(x).logits, expected)
    assert torch.equal(timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()(x), expected)
    if name in IMAGE_NETS:
        loaded, processor = load_backbone(str(tmp_path), LABELS)
        assert torch.equal(loaded.eval()(x).logits, expected)
        assert processor(torch.zeros(3, 40, 40, dtype=torch.uint8).numpy().transpose(1, 2, 0))[
            "pixel_values"
        ].shape == (1, 3, 32, 32)


@pytest.mark.parametrize("name", TINY)
def test_layer_names_are_its_stages(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    names = layer_names(model)
    expected = {
        "airbench96_cifar": ["blocks.0", "blocks.1"],
        "airbench_cifar": ["blocks.0", "blocks.1"],
        "densenet_bc_190": ["block1", "block2"],
        "lenet_audio": ["stages.0"],
        "mlp_table": ["layers.0"],
        "resnet20_cifar": ["layer1", "layer2"],
        "resnet50_cifar": ["layer1", "layer2", "layer3"],
        "wrn16_4": ["stages.0", "stages.1"],
        "wrn28_10": ["stages.0", "stages.1"],
    }
    assert names == expected.get(name, ["stages.0", "stages.1", "stages.2"])


@pytest.mark.parametrize("name", TINY)
def test_asking_for_weights_that_do_not_exist_fails(name):
    with torch.device("meta"), pytest.raises(RuntimeError, match="No pretrained weights exist"):
        timm.create_model(name, pretrained=True)


def test_dropout_acts_in_training_only():
    model = tiny("preact_resnet18", num_classes=0, drop_rate=0.5)
    x = batch_for("preact_resnet18")
    dropped = (model(x) == 0).float().mean()
    assert 0.3 < dropped < 0.7
    assert (model.eval()(x) == 0).sum() == 0


@pytest.mark.parametrize("pool", ["max", "fast"])
def test_a_pooling_that_there_is_not_is_refused(pool):
    with pytest.raises(ValueError, match=f"not '{pool}'"):
        tiny("wrn16_4", global_pool=pool)
    with pytest.raises(ValueError, match="set num_classes to 0"):
        tiny("wrn16_4", global_pool="", num_classes=10)
