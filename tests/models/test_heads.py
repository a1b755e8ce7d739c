"""The head of a classifier and its backbone, for timm's nets, transformers' and plain ones."""

import pytest
import timm
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForAudioClassification, AutoModelForImageClassification

from hfmix import load_backbone
from hfmix.models.heads import backbone_of

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SOUND = {"conv_dim": (8,), "conv_kernel": (4,), "conv_stride": (2,), "num_feat_extract_layers": 1}


def of_transformers(kind, auto=AutoModelForImageClassification, **settings):
    return auto.from_config(AutoConfig.for_model(kind, num_labels=3, **settings))


@pytest.mark.parametrize(
    ("build", "head"),
    [
        (lambda: load_backbone("test_resnet", list("abc"), pretrained=False)[0], ["timm_model.fc"]),
        (lambda: load_backbone("test_vit", list("abc"), pretrained=False)[0], ["timm_model.head"]),
        (lambda: load_backbone("preact_resnet18", list("abc"), pretrained=False)[0], ["timm_model.fc"]),
        (lambda: load_backbone("lenet_audio", list("abc"), pretrained=False)[0], ["net.fc"]),
        (
            lambda: load_backbone("mlp_table", list("abc"), pretrained=False, model_args={"in_chans": 4})[0],
            ["net.fc"],
        ),
        (lambda: timm.create_model("deit_tiny_distilled_patch16_224"), ["head", "head_dist"]),
        (lambda: timm.create_model("convnext_atto", num_classes=3), ["head.fc"]),
        (lambda: of_transformers("vit", **SMALL), ["classifier"]),
        (lambda: of_transformers("resnet", embedding_size=8, hidden_sizes=[8], depths=[1]), ["classifier"]),
        (lambda: of_transformers("poolformer"), ["classifier"]),
        (lambda: of_transformers("imagegpt", n_embd=16, n_layer=1, n_head=2), ["score"]),
        (
            lambda: of_transformers("wav2vec2", AutoModelForAudioClassification, **SMALL, **SOUND),
            ["projector", "classifier"],
        ),
        (lambda: nn.ModuleDict({"body": nn.Linear(2, 2), "fc": nn.Linear(2, 2)}), ["fc"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_head_is_told_and_the_rest_is_the_backbone(build, head):
    with torch.device("cpu"):
        model = build()
    backbone = backbone_of(model)
    assert backbone.head == head
    named = dict(model.named_parameters())
    outside = {name for name, p in named.items() if any(p is q for q in backbone.parameters)}
    assert outside == {name for name in named if not name.startswith(tuple(f"{h}." for h in head))}
    names = {module: name for name, module in model.named_modules()}
    modules = {names[module] for module in backbone.modules}
    norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d | nn.LayerNorm)}
    assert norms - modules <= {name for name in norms if name.startswith(tuple(head))}
    assert "" not in modules and not any(name.startswith(tuple(head)) for name in modules)


def test_the_dropout_before_the_head_stays_on():
    model = timm.create_model("test_vit", drop_rate=0.5, pos_drop_rate=0.5)
    modules = backbone_of(model).modules
    assert model.pos_drop in modules and model.head_drop not in modules


def test_a_head_that_cannot_be_told_is_one_line():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(ValueError, match=r"the head of Sequential cannot be told .* only 0, 1; freeze parameters"):
        backbone_of(net)
    with pytest.raises(ValueError, match="cannot be told"):
        backbone_of(timm.create_model("test_resnet", num_classes=0))
    with pytest.raises(ValueError, match="is all head"):
        backbone_of(nn.ModuleDict({"classifier": nn.Linear(2, 2)}))
