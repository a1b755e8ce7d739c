"""Tiny random classifiers of every family that hfmix is meant for, with data for each; nothing is downloaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import nn
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import EvalPrediction

from hfmix import MixTrainer, MixTrainingArguments, Policy

CLASSES = 4
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 16,
    "patch_size": 4,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "feat_proj_layer_norm": True,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}
# the large checkpoints' form, the one that is given masks: a layer norm a convolution instead of a group norm
MASKED = {**SPEECH, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


class Examples(Dataset):
    """`n` random examples with random labels, the same ones each time; the first are those of a smaller set.

    Args:
        name: of the main input.
        shape: of one example of it.
        mask: also give an attention mask that leaves out the end of every second example.
    """

    def __init__(self, n: int, name: str, shape: tuple[int, ...], mask: bool) -> None:
        draws = [torch.Generator().manual_seed(i) for i in range(n)]
        self.name, self.mask = name, mask
        self.x = torch.stack([torch.randn(shape, generator=draw) for draw in draws])
        self.y = torch.stack([torch.randint(CLASSES, (), generator=draw) for draw in draws])
        self.lengths = [shape[-1] * (3 if i % 2 == 0 else 2 + i % 3 // 2) // 3 for i in range(n)]
        if mask:
            for row, length in zip(self.x, self.lengths, strict=True):
                row[..., length:] = 0.0

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> dict[str, Any]:
        example = {self.name: self.x[i], "labels": int(self.y[i])}
        if self.mask:
            example["attention_mask"] = (torch.arange(self.x.shape[-1]) < self.lengths[i]).long()
        return example


@dataclass(frozen=True)
class Animal:
    """One of the zoo.

    Attributes:
        name: as tests call it.
        kind: "image" or "audio".
        new: builds the model; called with a fixed seed.
        shape: of one example of the main input.
        input_name: of the main input.
        mask: whether it takes an attention mask.
    """

    name: str
    kind: Literal["image", "audio"]
    new: Callable[[], PreTrainedModel]
    shape: tuple[int, ...]
    input_name: str = "pixel_values"
    mask: bool = False

    def __str__(self) -> str:
        return self.name

    def build(self) -> PreTrainedModel:
        """The model, with the same weights each time, all random, and logits that differ between examples."""
        torch.manual_seed(0)
        model = self.new().train()
        for parameter in model.parameters():
            if parameter.ndim < 2:
                nn.init.normal_(parameter, mean=float(parameter.detach().mean()), std=0.1)
            else:
                nn.init.normal_(parameter, std=(2 * len(parameter) / parameter.numel()) ** 0.5)
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:  # as of a net that has seen data
            norm.momentum = 1.0
        with torch.no_grad():
            model(torch.stack([self.make(8)[i][self.input_name] for i in range(8)]))
        for norm in norms:
            norm.momentum = 0.1
        return model

    def make(self, n: int) -> Examples:
        """The first `n` examples."""
        return Examples(n, self.input_name, self.shape, self.mask)


def _timm(name: str, architecture: str, size: int, **model_args: Any) -> Animal:
    def new() -> PreTrainedModel:
        settings = {"architecture": architecture, "num_labels": CLASSES, "model_args": model_args}
        return TimmWrapperForImageClassification(TimmWrapperConfig(**settings))

    return Animal(f"timm {name}", "image", new, (3, size, size))


def _hf(name: str, kind: Literal["image", "audio"], model: str, shape: tuple[int, ...], **settings: Any) -> Animal:
    of_animal = {key: settings.pop(key) for key in ("input_name", "mask") if key in settings}

    def new() -> PreTrainedModel:
        of_class = getattr(transformers, model)
        return of_class(of_class.config_class(num_labels=CLASSES, **settings))

    return Animal(name, kind, new, shape, **of_animal)


def _image(name: str, size: int = 16, model: str | None = None, **settings: Any) -> Animal:
    return _hf(name, "image", model or f"{name}ForImageClassification", (3, size, size), **settings)


def _speech(name: str, mask: bool) -> Animal:
    settings = MASKED if mask else SPEECH
    masked = f"{name} (mask)" if mask else name
    model = f"{name}ForSequenceClassification"
    return _hf(masked, "audio", model, (400,), input_name="input_values", mask=mask, **settings)


STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 16, 32]}
SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2, "drop_path_rate": 0.0}
ZOO = [
    _timm("ResNet", "test_resnet", 32),
    _timm("ViT", "test_vit", 16, img_size=16),
    _timm("ConvNeXt", "test_convnext", 32),
    _timm("EfficientNet", "test_efficientnet", 32),
    _timm("MobileNetV3", "mobilenetv3_small_050", 32),
    _timm(
        "Swin", "swin_tiny_patch4_window7_224", 16, img_size=16, **{**SWIN, "depths": (1, 1), "num_heads": (2, 2)}
    ),
    _image("ViT", **VIT),
    _image("DeiT", **VIT),
    _image("Swin", image_size=16, patch_size=2, **SWIN),
    _image("ConvNext", 32, **STAGES, drop_path_rate=0.0),
    _image("ResNet", 32, embedding_size=8, **STAGES),
    _image("Beit", **VIT, drop_path_rate=0.0),
    _image("Dinov2", **VIT, drop_path_rate=0.0),
    _image("Siglip", vision_config={**VIT, "attention_dropout": 0.0}),
    _image(
        "MobileViT",
        32,
        image_size=32,
        hidden_sizes=[16, 24, 32],
        neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
        num_attention_heads=2,
        hidden_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
    ),
    _speech("Wav2Vec2", mask=False),
    _speech("Wav2Vec2", mask=True),
    _speech("Hubert", mask=True),
    _speech("WavLM", mask=True),
    _hf(
        "AST",
        "audio",
        "ASTForAudioClassification",
        (32, 16),
        input_name="input_values",
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_length=32,
        num_mel_bins=16,
        patch_size=8,
        frequency_stride=8,
        time_stride=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    _hf(
        "Whisper",
        "audio",
        "WhisperForAudioClassification",
        (16, 64),
        input_name="input_features",
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        num_mel_bins=16,
        max_source_positions=32,
        classifier_proj_size=16,
        dropout=0.0,
        layerdrop=0.0,
    ),
]


def trainer_of(
    animal: Animal, folder: Path, n: int, policy: Policy | None = None, double: bool = False, **arguments: Any
) -> Trainer:
    """A trainer on the animal's first `n` examples, in order: a MixTrainer, or without a policy the stock one.

    BatchNorm keeps the statistics that it has, in training too: of a smaller batch they would be others.
    """
    model, data = animal.build(), animal.make(n)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module
    if double:
        model, data.x = model.double(), data.x.double()
    settings = {
        "output_dir": str(folder),
        "max_steps": 1,
        "train_sampling_strategy": "sequential",
        "optim": "sgd",
        "learning_rate": 1.0,
        "max_grad_norm": 0,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
        "use_cpu": True,
        **arguments,
    }
    if policy is None:
        args = TrainingArguments(**settings)
        return Trainer(model=model, args=args, train_dataset=data, eval_dataset=data)
    return MixTrainer(
        model=model, args=MixTrainingArguments(**settings), policy=policy, train_dataset=data, eval_dataset=data
    )


def gradient(trainer: Trainer) -> torch.Tensor:
    """What the one step subtracts from the weights, in one vector."""
    start = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.train()
    end = [parameter.detach() for parameter in trainer.model.parameters()]
    return torch.cat([(a - b).flatten() for a, b in zip(start, end, strict=True)])


def counts(prediction: EvalPrediction) -> dict[str, int]:
    """Metrics that are whole numbers: the examples, and those that are right."""
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"count": len(right), "right": int(right.sum())}
