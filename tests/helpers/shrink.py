"""Tiny random models of any class: a configuration's widths, depths and sizes cut down by their names."""

from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

# by the name of a configuration's setting; a list keeps its length
WIDTHS = "hidden_size d_model d_latents n_embd embedding_size output_hidden_size projection_dim projection_size"
WIDTHS += " classifier_proj_size codevector_dim proj_codevector_dim xvector_output_dim pooler_output_size"
WIDTHS += " decoder_hidden_size aspp_out_channels auxiliary_channels hidden_dim class_expand stem_out_channels"
FEED_FORWARD = "intermediate_size encoder_ffn_dim decoder_ffn_dim"
LAYERS = "num_hidden_layers encoder_layers decoder_layers n_layer num_self_attends_per_block"
HEADS = "num_attention_heads num_key_value_heads encoder_attention_heads decoder_attention_heads n_head"
HEADS += " num_self_attention_heads num_cross_attention_heads num_conv_pos_embedding_groups"
ROOM = "image_size num_latents num_conv_pos_embeddings max_position_embeddings max_source_positions"
BY_NAME: dict[str, Any] = {
    **dict.fromkeys(WIDTHS.split(), 32),
    **dict.fromkeys(FEED_FORWARD.split(), 48),
    **dict.fromkeys(LAYERS.split(), 2),
    **dict.fromkeys(HEADS.split(), 2),
    **dict.fromkeys(ROOM.split(), 64),
    "vocab_size": 64,
    "head_dim": 16,
    "max_length": 64,
    "num_codevectors_per_group": 8,
    "embed_dim": 8,
    "num_clusters": 8,
    "window_size": 2,
}
BY_NAME_OF_LIST: dict[str, Any] = {
    "hidden_sizes": lambda old: [16 * (i + 1) for i in range(len(old))],
    "embed_dims": lambda old: [16 * (i + 1) for i in range(len(old))],
    "embed_dim": lambda old: [16 * (i + 1) for i in range(len(old))],
    "neck_hidden_sizes": lambda old: [8 * (i + 1) for i in range(len(old))],
    "depths": lambda old: [1] * len(old),
    "depth": lambda old: [1] * len(old),
    "num_heads": lambda old: [1] * len(old),
    "num_attention_heads": lambda old: [2] * len(old),
    "conv_dim": lambda old: [8] * len(old),
    "tdnn_dim": lambda old: [8] * len(old),
    "image_size": lambda old: [64] * len(old),
}
# what the names do not tell
BY_CLASS: dict[str, dict[str, Any]] = {
    "BitForImageClassification": {"num_groups": 8},
    "CvtForImageClassification": {"depth": [1, 2, 3]},  # it indexes a stage's blocks by the stage
    "EfficientNetForImageClassification": {
        "width_coefficient": 0.25,
        "depth_coefficient": 0.3,
        "num_hidden_layers": 16,
    },
    "HGNetV2ForImageClassification": {
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 16, 16],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [16, 16, 16, 16],
        "stage_numb_of_layers": [2, 2, 2, 2],
    },
    "MobileNetV1ForImageClassification": {"depth_multiplier": 0.25},
    "MobileNetV2ForImageClassification": {"depth_multiplier": 0.25},
    "MobileViTV2ForImageClassification": {"base_attn_unit_dims": [16, 16, 16], "width_multiplier": 0.25},
    "PerceiverForImageClassificationLearned": {"image_size": 16},
    "PerceiverForImageClassificationFourier": {"num_cross_attention_heads": 1, "num_self_attention_heads": 1},
    "TimmWrapperForImageClassification": {"architecture": "test_resnet"},
}


def tiny_config(kind: type[PreTrainedConfig], **settings: Any) -> PreTrainedConfig:
    """A configuration of this kind with `settings`, and all else cut down by BY_NAME."""
    usual = kind()
    small: dict[str, Any] = {}
    for name, value in usual.to_dict().items():
        nested = getattr(usual, name, None)
        if isinstance(nested, PreTrainedConfig):
            small[name] = tiny_config(type(nested), **settings.pop(name, {})).to_dict()
        elif isinstance(value, list | tuple) and name in BY_NAME_OF_LIST:
            small[name] = BY_NAME_OF_LIST[name](value)
        elif isinstance(value, int) and name in BY_NAME:
            small[name] = min(value, BY_NAME[name])
    return kind(**{**small, **settings})


def tiny_model_of(model: type[PreTrainedModel], **settings: Any) -> PreTrainedModel:
    """A tiny model of this class with four classes, every tensor of it random (a BatchNorm's statistics too)."""
    torch.manual_seed(0)
    of_class = BY_CLASS.get(model.__name__, {})
    built = model(tiny_config(model.config_class, **{"num_labels": 4, **of_class, **settings}))
    randomize(built, seed=0)
    return built


def randomize(model: torch.nn.Module, seed: int) -> None:
    """Gives every floating-point tensor that a checkpoint holds new random values."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        elif tensor.dtype == torch.int64 and tensor.ndim == 0:  # how many batches a BatchNorm has seen
            tensor.fill_(seed + 7)
